/** Executes requests that came as JSON: text messages, POST /batch. Every request gets one answer, in order. */
import { isUtf8 } from "node:buffer";
import { type ErrorKind, RequestError } from "../protocol/errors";
import {
  errorAnswer,
  idOf,
  idProblem,
  type JsonAnswer,
  type JsonRequest,
  schemas,
  valueBytes,
  valueFields,
} from "../protocol/json";
import type { Ticket } from "../streaming/feed";
import { type Access, forbidden, mayDo } from "./access";
import {
  ANY_VERSION,
  type Clearing,
  type Commands,
  Condition,
  type LeaseAsk,
  NO_LEASE,
  Outcome,
  ShardBusyError,
  type ValueSink,
} from "./commands";
import { type Calls, CONFLICT, SUSPENDED } from "./calls";
import type { Executor } from "./json-batch";
import { VERB_NAMES } from "./tally";

/** A value read into a buffer of its own. */
class OwnedValue implements ValueSink {
  bytes: Buffer = Buffer.alloc(0);
  version = 0;
  expiresAt = Infinity;
  isStale = false;

  markStale(): void {
    this.isStale = true;
  }

  begin(length: number, version: number, expiresAt: number): number {
    this.bytes = Buffer.allocUnsafe(length);
    this.version = version;
    this.expiresAt = expiresAt;
    return 0;
  }
}

export function conditionNamed(name: "absent" | "present" | undefined): Condition {
  if (name === undefined) return Condition.NONE;
  return name === "absent" ? Condition.IF_ABSENT : Condition.IF_PRESENT;
}

/** Ops whose answers can be longer than their requests. */
const LARGE_READS: readonly unknown[] = ["get", "scan", "stats"];
/** The same of ops that change something: a lease whose token is not answered would keep everybody waiting, a removed value would be lost. */
const LARGE_WRITES: readonly unknown[] = ["lease", "getdelete", "gettouch"];

/** Requests for one key each: they may be begun while one before them waits. */
const MAY_BEGIN_AHEAD: ReadonlySet<unknown> = new Set([
  "get",
  "put",
  "delete",
  "touch",
  "add",
  "append",
  "info",
]);
const AHEAD_MAX = 64;

/** One that is answered without being executed must not be begun either. */
function mayBeginAhead(value: unknown): boolean {
  return MAY_BEGIN_AHEAD.has(opIn(value)) && idProblem(value) === null;
}

function opIn(value: unknown): unknown {
  return (value as { op?: unknown } | null)?.op;
}

export class JsonCommands implements Executor {
  waitsFor: Promise<void> | null = null;
  private clearing: Clearing | null = null;
  private readonly calls: Calls | null;
  private answeredCount = 0;

  constructor(
    private readonly commands: Commands,
    private readonly access: Access,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.calls = commands.newCalls();
  }

  /** See Calls. */
  get heldBytes(): number {
    return this.calls?.heldBytes ?? 0;
  }

  canBeLarge(value: unknown): boolean {
    return this.isRead(value) || LARGE_WRITES.includes(opIn(value));
  }

  isRead(value: unknown): boolean {
    return LARGE_READS.includes(opIn(value));
  }

  answer(value: unknown): JsonAnswer | null {
    const problem = idProblem(value);
    if (problem !== null) {
      this.skip();
      return this.errorOf("MALFORMED", problem);
    }
    this.waitsFor = null;
    this.commands.calls = this.calls;
    this.calls?.begin(this.answeredCount);
    const answer = this.tryAnswer(value);
    if (answer === null) return null;
    this.calls?.end();
    this.answeredCount++;
    return withId(value, answer);
  }

  /** It has its number all the same, by which those behind it were begun. */
  skip(): void {
    this.waitsFor = null;
    this.calls?.begin(this.answeredCount);
    this.calls?.end();
    this.answeredCount++;
  }

  beginAhead(requests: readonly unknown[], from: number): void {
    const calls = this.calls!;
    if (!calls.mayBeginAhead) return;
    const end = Math.min(requests.length, from + AHEAD_MAX);
    for (let at = from; at < end && mayBeginAhead(requests[at]); at++) {
      calls.beginAhead(this.answeredCount + 1 + at - from);
      try {
        const { opOf, parseRequest } = schemas();
        this.execute(parseRequest(opOf(requests[at]), requests[at]));
      } catch (error) {
        if (error === CONFLICT) return;
        // What is wrong with it is answered in its turn.
      }
    }
  }

  refuse(value: unknown, kind: ErrorKind, message: string): JsonAnswer {
    const answer = this.errorOf(kind, message);
    return idProblem(value) === null ? withId(value, answer) : answer;
  }

  /** The push that answers a ticket, or null when it waits on. */
  fill(ticket: Ticket): JsonAnswer | null {
    const value = new OwnedValue();
    const { outcome, ask } = this.commands.settle(ticket, value);
    if (outcome === Outcome.PENDING) return null;
    const key = ticket.key.toString("utf8");
    return leaseAnswer(key, outcome, { value, ask, ticket: ticket.number });
  }

  private errorOf(kind: ErrorKind, message: string): JsonAnswer {
    this.commands.noteError(kind);
    return errorAnswer(kind, message);
  }

  private tryAnswer(value: unknown): JsonAnswer | null {
    try {
      const { opOf, parseRequest } = schemas();
      const op = opOf(value);
      // Commands checks this as well. Here it comes before the fields are checked, which is work that a forbidden request should not cause.
      if (!mayDo(this.access, VERB_NAMES.get(op)!)) throw forbidden(this.access);
      return this.execute(parseRequest(op, value));
    } catch (error) {
      if (error === SUSPENDED) {
        this.waitsFor = this.calls!.answered;
        return null;
      }
      this.clearing = null;
      if (error instanceof RequestError) return this.errorOf(error.kind, error.message);
      if (error instanceof ShardBusyError)
        return this.errorOf("BUSY", "the shard of this key is busy; try again");
      this.onFault(error);
      return this.errorOf("INTERNAL", "internal error; it is in the server's log");
    }
  }

  private execute(request: JsonRequest): JsonAnswer | null {
    const { access, commands } = this;
    switch (request.op) {
      case "get": {
        const value = new OwnedValue();
        const wish = commands.wishOf(request.version ?? ANY_VERSION, request.watch === true);
        const outcome = commands.read(access, commands.keyOf(request.key), wish, value);
        if (outcome === Outcome.CURRENT) return { status: "CURRENT" };
        return outcome === Outcome.DONE ? found(request.key, value) : { status: "MISS", key: request.key };
      }
      case "put": {
        const write = commands.writeOf(valueBytes(request));
        write.condition = conditionNamed(request.if);
        write.ifVersion = request.ifVersion ?? ANY_VERSION;
        write.lease = request.lease ?? NO_LEASE;
        write.watches = request.watch === true;
        const outcome = commands.put(access, commands.keyOf(request.key), write, request.ttl);
        return outcome === Outcome.DONE
          ? { status: "OK", version: commands.lastVersion }
          : { status: "REFUSED", key: request.key };
      }
      case "delete":
        return named(
          commands.delete(access, commands.keyOf(request.key), request.ifVersion ?? ANY_VERSION),
          request.key,
        );
      case "touch":
        return named(
          commands.touch(access, commands.keyOf(request.key), request.ttl ?? Infinity),
          request.key,
        );
      case "add":
        commands.add(
          access,
          commands.keyOf(request.key),
          request.delta ?? request.value!,
          request.ttl ?? Infinity,
        );
        return { status: "OK", number: exactNumber(commands.lastNumber), version: commands.lastVersion };
      case "append": {
        const write = commands.writeOf(valueBytes(request));
        const outcome = commands.append(access, commands.keyOf(request.key), write);
        return outcome === Outcome.DONE
          ? { status: "OK", version: commands.lastVersion }
          : { status: "MISS", key: request.key };
      }
      case "info": {
        if (!commands.info(access, commands.keyOf(request.key))) return { status: "MISS", key: request.key };
        const { version, expiresAt, valueLength } = commands.entryInfo;
        const ttl = commands.ttlOf(expiresAt);
        return {
          status: "OK",
          key: request.key,
          version,
          ttl: ttl === Infinity ? null : ttl,
          length: valueLength,
        };
      }
      case "scan": {
        const page = commands.scan(access, prefixOf(request), request.cursor ?? 0n);
        return { status: "OK", cursor: String(page.cursor), keys: page.keys.map(keyField) };
      }
      case "clear": {
        this.clearing ??= commands.clear(access, prefixOf(request));
        if (!this.clearing.step(commands.now)) return null;
        const { removed } = this.clearing;
        this.clearing = null;
        return { status: "OK", number: removed };
      }
      case "watch":
        commands.watchPrefix(access, prefixOf(request), request.noloop === true);
        return { status: "OK" };
      case "unwatch":
        if (request.keys === true) commands.unwatchKeys(access);
        else commands.unwatchPrefix(access, prefixOf(request));
        return { status: "OK" };
      case "lease": {
        const value = new OwnedValue();
        const ask = commands.leaseAsk(request.ttl, request.early ?? 0);
        ask.watches = request.watch === true;
        const wish = { access, withMeta: true, waits: request.wait === true };
        const outcome = commands.lease(wish, commands.keyOf(request.key), ask, value);
        return leaseAnswer(request.key, outcome, { value, ask, ticket: commands.lastTicket });
      }
      case "release":
        return named(commands.release(access, commands.keyOf(request.key), request.token), request.key);
      case "getdelete": {
        const value = new OwnedValue();
        const isFound = commands.getAndDelete(access, commands.keyOf(request.key), value);
        return isFound ? found(request.key, value) : { status: "MISS", key: request.key };
      }
      case "gettouch": {
        const value = new OwnedValue();
        const key = commands.keyOf(request.key);
        const isFound = commands.getAndTouch(access, key, value, request.ttl ?? Infinity);
        return isFound ? found(request.key, value) : { status: "MISS", key: request.key };
      }
      case "ping":
        commands.ping(access);
        return request.value === undefined ? { status: "OK" } : { status: "OK", value: request.value };
      case "stats":
        commands.refreshClock();
        return { status: "OK", stats: commands.stats(access) };
      default:
        return request satisfies never;
    }
  }
}

function found(key: string, value: OwnedValue): JsonAnswer {
  const { bytes, version, isStale } = value;
  return { status: "OK", key, ...valueFields(bytes), version, ...(isStale && { stale: true }) };
}

function prefixOf(request: { prefix?: string | undefined; key?: string | undefined }): Buffer {
  return Buffer.from(request.prefix ?? request.key ?? "", "utf8");
}

/** What came of asking for a lease. */
interface LeaseResult {
  readonly value: OwnedValue;
  readonly ask: LeaseAsk;
  readonly ticket: number;
}

function leaseAnswer(key: string, outcome: Outcome, { value, ask, ticket }: LeaseResult): JsonAnswer {
  switch (outcome) {
    case Outcome.DONE:
      return found(key, value);
    case Outcome.HIT_LEASED:
      return { ...found(key, value), status: "HIT_LEASED", token: ask.token, left: ask.leftMs };
    case Outcome.LEASED:
      return { status: "LEASED", token: ask.token, left: ask.leftMs };
    case Outcome.PENDING:
      return { status: "PENDING", ticket, left: ask.leftMs };
    default:
      return { status: "MISS", key };
  }
}

/** The answer to a request with the request's id, if it has one. */
function withId(request: unknown, answer: JsonAnswer): JsonAnswer {
  const id = idOf(request);
  return id === undefined ? answer : { ...answer, id };
}

/** A key as text; one that is no UTF-8 as an object that says so. */
function keyField(key: Buffer): string | { key: string; encoding: "base64" } {
  return isUtf8(key) ? key.toString("utf8") : { key: key.toString("base64"), encoding: "base64" };
}

function named(outcome: Outcome, key: string): JsonAnswer {
  if (outcome === Outcome.DONE) return { status: "OK" };
  return { status: outcome === Outcome.MISS ? "MISS" : "REFUSED", key };
}

/** A JSON number where that is exact, decimal text beyond. */
function exactNumber(number: bigint): number | string {
  return number === BigInt(Number(number)) && Number.isSafeInteger(Number(number))
    ? Number(number)
    : String(number);
}
