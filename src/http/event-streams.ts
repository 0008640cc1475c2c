/**
 * The open streams of server-sent events of a worker.
 *
 * A stream is a connection that watches: it counts among them, its pushes have the same bound, and it ends where a session would,
 * with its token and with the server. Bun asks for the next piece when the kernel has taken the last, so what a client does not
 * read waits in the feed, and beyond the bound it is one reset.
 */
import { type Access, scanPrefix } from "../commands/access";
import type { Commands } from "../commands/commands";
import { Count, type Tally } from "../commands/tally";
import type { Traffic } from "../commands/traffic";
import { jsonPushes } from "../protocol/push";
import { callAt } from "../system/expiry";
import type { Feed, FeedOwner } from "../streaming/feed";
import type { Streams } from "../streaming/streams";
import type { Unsent } from "./unsent";

const COMMENT_MS = 15_000;
/** Of the time after which Bun ends a silent connection. */
const COMMENTS_PER_TIMEOUT = 3;
const COMMENT = ":\n\n";

export interface EventStreamsContext {
  readonly commands: Commands;
  readonly streams: Streams;
  readonly tally: Tally;
  readonly traffic: Traffic;
  readonly unsent: Unsent;
  readonly clientTimeoutMs: number;
}

/** The open streams of a worker. */
export class EventStreams {
  private readonly all = new Set<EventStream>();

  constructor(private readonly context: EventStreamsContext) {}

  /** Throws FORBIDDEN, BAD_KEY, or BUSY over the limits of watched prefixes. */
  open(access: Access, prefix: Buffer): ReadableStream {
    const { tally, unsent } = this.context;
    const stream = new EventStream(this.context, access, () => {
      this.all.delete(stream);
      tally.add(Count.EVENT_STREAMS, -1);
      unsent.unanswered--;
    });
    stream.watch(prefix);
    this.all.add(stream);
    tally.add(Count.EVENT_STREAMS, 1);
    // It is pending for as long as it is open, and what it holds is bounded elsewhere.
    unsent.unanswered++;
    return stream.body;
  }

  /** Ends those whose tokens are no longer valid. */
  withdraw(stillGrants: (access: Access) => boolean): void {
    for (const stream of [...this.all]) if (!stillGrants(stream.access)) stream.end();
  }

  /** The server shuts down. */
  drain(): void {
    for (const stream of [...this.all]) stream.end();
  }
}

class EventStream implements FeedOwner {
  readonly body: ReadableStream;
  private readonly feed: Feed;
  private controller!: ReadableStreamDefaultController;
  /** Resolves the pull that waits for something to send. */
  private wanted: (() => void) | null = null;
  private unsent = "";
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly stopExpiry: () => void;
  private isOver = false;

  constructor(
    private readonly context: EventStreamsContext,
    readonly access: Access,
    private readonly onEnd: () => void,
  ) {
    this.feed = context.streams.newFeed(this);
    const source = {
      start: (controller: ReadableStreamDefaultController) => void (this.controller = controller),
      pull: () => this.pull(),
      cancel: () => this.close(),
    };
    this.body = new ReadableStream(source, { highWaterMark: 0 });
    this.timer = setInterval(
      () => this.comment(),
      Math.min(COMMENT_MS, context.clientTimeoutMs / COMMENTS_PER_TIMEOUT),
    );
    this.stopExpiry = access.expiresAt === Infinity ? () => {} : callAt(access.expiresAt, () => this.end());
  }

  /** Begins to watch; where that is not possible, nothing is left of the stream. */
  watch(prefix: Buffer): void {
    const { streams, commands } = this.context;
    streams.serve(this.feed);
    try {
      commands.watchPrefix(this.access, prefix, false);
      this.unsent = event("ready", { prefix: scanPrefix(this.access, prefix).toString("utf8") });
    } catch (error) {
      this.letGo();
      throw error;
    } finally {
      streams.serve(null);
    }
  }

  onNews(): void {
    this.wanted?.();
  }

  /** Pushes are at their bound: a piece leaves where one is wanted. */
  makeRoom(): boolean {
    if (this.wanted === null) return false;
    this.send(this.take());
    this.wanted();
    return true;
  }

  /** Closes the stream, with what has been told so far. */
  end(): void {
    if (this.isOver) return;
    const text = this.take();
    this.close();
    this.send(text);
    this.controller.close();
  }

  private comment(): void {
    if (this.wanted === null) return;
    this.unsent ||= COMMENT;
    this.wanted();
  }

  /** Bun wants the next piece: as soon as there is one. */
  private async pull(): Promise<void> {
    if (this.feed.pushes.length === 0 && this.unsent === "")
      await new Promise<void>((resolve) => {
        this.wanted = () => {
          this.wanted = null;
          resolve();
        };
      });
    if (!this.isOver) this.send(this.take());
  }

  private send(text: string): void {
    if (text === "") return;
    const piece = Buffer.from(text);
    this.context.traffic.sent(piece.length);
    this.controller.enqueue(piece);
  }

  private take(): string {
    const { pushes } = this.feed;
    let text = this.unsent;
    this.unsent = "";
    for (const push of jsonPushes(pushes.view()))
      if (push.push === "changed") for (const change of push.keys) text += event("changed", change);
      else text += event("reset", { prefix: push.prefix, ...(push.encoding && { encoding: push.encoding }) });
    pushes.clear();
    return text;
  }

  /** The client has gone, or the stream ends. */
  private close(): void {
    if (this.isOver) return;
    this.letGo();
    this.onEnd();
  }

  private letGo(): void {
    this.isOver = true;
    clearInterval(this.timer);
    this.stopExpiry();
    this.context.streams.close(this.feed);
    this.wanted?.();
  }
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
