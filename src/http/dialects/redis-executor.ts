/** Executes Redis commands that came as JSON, one or many, and makes their replies JSON. */
import { ShardBusyError } from "../../commands/commands";
import { type Calls, SUSPENDED } from "../../commands/calls";
import type { Executor } from "../../commands/json-batch";
import { type ErrorKind, RequestError } from "../../protocol/errors";
import { dialectSchemas } from "./load";
import { commandOf, largeReplyOf, type Redis, type Reply } from "./redis";
import { Arguments, argumentsFrom, RedisError } from "./redis-args";

/** A number that JSON can hold and a double cannot (TC39, JSON.parse source text access); its types are not in TypeScript's library. */
const rawJson = (JSON as unknown as { rawJSON(text: string): object }).rawJSON;

/** A command that is no part of an array: JSON, or its arguments. */
export class SingleCommand {
  constructor(
    readonly command: unknown,
    /** How long it came. */
    readonly bytes: number,
  ) {}
}

export class RedisExecutor implements Executor {
  /** Whether the last command ended with an error. */
  failed = false;
  waitsFor: Promise<void> | null = null;
  private underway: Generator<void, Reply> | null = null;
  private readonly calls: Calls | null;

  constructor(
    private readonly redis: Redis,
    /** Texts of replies are base64. */
    private readonly isEncoded: boolean,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.calls = redis.commands.newCalls(true);
  }

  answer(request: unknown): object | null {
    try {
      const reply = this.reply(request);
      if (reply === undefined) return null;
      this.calls?.end();
      this.failed = false;
      return { result: this.encoded(reply) };
    } catch (error) {
      if (error === SUSPENDED) return this.suspended();
      this.calls?.end();
      this.underway = null;
      this.failed = true;
      return { error: this.messageOf(error) };
    }
  }

  /** Commands of several keys ask for them all at once; others run one after the other. */
  beginAhead(): void {}

  skip(): void {
    this.waitsFor = null;
    this.underway = null;
    this.calls?.end();
  }

  refuse(_: unknown, kind: ErrorKind, message: string): object {
    this.failed = true;
    return { error: this.messageOf(new RequestError(kind, message)) };
  }

  canBeLarge(request: unknown): boolean {
    return largeReplyOf(nameOf(request)) !== undefined;
  }

  isRead(request: unknown): boolean {
    return largeReplyOf(nameOf(request)) === "reads";
  }

  /** Undefined while it goes on. */
  private reply(request: unknown): Reply | undefined {
    this.waitsFor = null;
    this.redis.commands.calls = this.calls;
    this.calls?.begin(0);
    if (this.underway === null) {
      const reply = this.redis.run(argumentsOf(request));
      if (!isRunning(reply)) return reply;
      this.underway = reply;
    }
    const { done, value } = this.underway.next();
    if (!done) {
      if (this.calls?.isRepeated) this.suspended();
      return undefined;
    }
    this.underway = null;
    return value;
  }

  private suspended(): null {
    this.waitsFor = this.calls!.answered;
    return null;
  }

  /** Every text of a reply is base64, where that is asked for, but OK. */
  private encoded(reply: Reply): unknown {
    if (typeof reply === "bigint") return rawJson(String(reply));
    if (typeof reply === "string") return reply === "OK" || !this.isEncoded ? reply : btoa(reply);
    if (Buffer.isBuffer(reply)) return reply.toString(this.isEncoded ? "base64" : "utf8");
    return Array.isArray(reply) ? reply.map((item: Reply) => this.encoded(item)) : reply;
  }

  private messageOf(error: unknown): string {
    if (error instanceof RedisError) return error.message;
    if (error instanceof RequestError) return redisError(error.http, error.message);
    if (error instanceof ShardBusyError) return redisError(503, "the shard of this key is busy; try again");
    this.onFault(error);
    return redisError(500, "internal error; it is in the server's log");
  }
}

/** Whether a command can be queued in a transaction: it is known, and takes so many arguments. */
export function isExecutable(command: unknown): boolean {
  try {
    commandOf(argumentsOf(command));
    return true;
  } catch (error) {
    if (error instanceof RedisError) return false;
    throw error;
  }
}

/** An error of ours as Redis would write it: its first word says what kind it is of. */
export function redisError(status: number, message: string): string {
  const kind = status === 401 ? "WRONGPASS" : status === 403 ? "NOPERM" : "ERR";
  return `${kind} ${message}`;
}

/** In lower case; empty for what has none. */
function nameOf(request: unknown): string {
  const command = request instanceof SingleCommand ? request.command : request;
  if (command instanceof Arguments) return command.command;
  const name = (command as unknown[] | null)?.[0];
  return typeof name === "string" ? name.toLowerCase() : "";
}

/** Throws RedisError for what is no command. */
function argumentsOf(request: unknown): Arguments {
  const command = request instanceof SingleCommand ? request.command : request;
  if (command instanceof Arguments) return command;
  const parsed = dialectSchemas().upstashCommand.safeParse(command);
  if (!parsed.success)
    throw new RedisError("ERR a command must be an array of texts and numbers, its name first");
  return argumentsFrom(parsed.data.map(String));
}

function isRunning(reply: Reply | Generator<void, Reply>): reply is Generator<void, Reply> {
  return typeof reply === "object" && reply !== null && "next" in reply;
}
