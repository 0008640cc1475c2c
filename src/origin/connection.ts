/**
 * One connection to one node, by the client library. It is used until it ends, and never made again: whoever wants another one decides what becomes of
 * the commands that were not answered. The library repeats nothing and keeps nothing back.
 *
 * The library is loaded when the first origin is set, and not before.
 */
import type { Redis } from "iovalkey";
import type { Address, Endpoint } from "./address";
import type { Argument, Reply } from "./call";

export type Library = typeof import("iovalkey");

export function loadLibrary(): Promise<Library> {
  return import("iovalkey");
}

export interface Outgoing {
  readonly name: string;
  readonly args: readonly Argument[];
  /** Told once: the answer, what the node says is wrong, or that the connection has ended. */
  readonly answered: (error: Error | null, reply: Reply) => void;
}

export interface ConnectionEvents {
  /** Commands may be sent. */
  opened(): void;
  /** Every command has been answered or was told. Once, and last; null where nobody knows why. */
  ended(reason: string | null): void;
}

export interface Security {
  readonly isTls: Address["isTls"];
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string;
}

export class Connection {
  private readonly redis: Redis;
  private reason: string | null = null;

  constructor(
    private readonly library: Library,
    { host, port }: Endpoint,
    { isTls, ca }: Security,
    events: ConnectionEvents,
  ) {
    const tls = {
      ...(ca !== undefined && { ca }),
      ...(/[a-z]/i.test(host) && !host.includes(":") && { servername: host }),
    };
    this.redis = new library.Redis({
      host,
      port,
      ...(isTls && { tls }),
      lazyConnect: true,
      // Both kinds of addresses; node:net tries them in turn.
      family: 0,
      familyFallback: { enabled: false },
      connectTimeout: 0,
      retryStrategy: () => null,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
    });
    this.redis.on("error", (error) => (this.reason ??= reasonOf(error)));
    this.redis.on("ready", () => events.opened());
    this.redis.on("end", () => events.ended(this.reason));
    // Its failure is told by `end`.
    this.redis.connect().catch(() => {});
  }

  get isWritable(): boolean {
    return this.redis.status === "ready" && this.redis.stream.writable;
  }

  /** Sends commands as one write. Only while isWritable; then all of them count as sent. */
  send(commands: readonly Outgoing[]): void {
    const { redis, library } = this;
    const pieces: Buffer[] = [];
    const pipeline = {
      isPipeline: true as const,
      destination: { redis },
      write: (piece: string | Buffer) => pieces.push(typeof piece === "string" ? Buffer.from(piece) : piece),
    };
    for (const { name, args, answered } of commands) {
      const command = new library.Command(name, [...args], { replyEncoding: null }, (error, reply) =>
        answered(error ?? null, (reply ?? null) as Reply),
      );
      redis.sendCommand(command, pipeline);
    }
    redis.stream.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
  }

  /** One command whose answer is awaited. */
  call(name: string, ...args: Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const answered = (error: Error | null, reply: Reply) =>
        error === null ? resolve(reply) : reject(error);
      this.send([{ name, args, answered }]);
    });
  }

  /** Ends it now; what is in flight is told so. */
  end(): void {
    this.redis.disconnect();
    this.redis.stream?.destroy();
  }
}

const REASONS: Record<string, string> = {
  ECONNREFUSED: "refuses the connection: nothing listens there",
  ENOTFOUND: "has a name that is not known",
  EAI_AGAIN: "has a name that cannot be looked up now",
  EHOSTUNREACH: "cannot be reached",
  ENETUNREACH: "cannot be reached",
  ETIMEDOUT: "does not answer",
  ECONNRESET: "has ended the connection",
  EPIPE: "has ended the connection",
};

function reasonOf(error: Error & { code?: string }): string {
  const { code = "" } = error;
  return REASONS[code] ?? (code === "" ? "cannot be connected" : `cannot be connected (${code})`);
}
