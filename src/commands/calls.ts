/**
 * What commands ask of a store of record, and how a command that is executed at once can wait for the answer: it does not. The first
 * time it makes the call and ends with SUSPENDED, having changed and answered nothing. Once the call has its answer, the request is
 * executed again from its beginning, makes the same calls in the same order, and finds the answers of those that it made before.
 * So handlers, batches and dialects stay plain functions, and a server without an origin has nothing of this on its way.
 *
 * Requests behind one that waits may be begun ahead, so that a batch of misses is one round trip. They are executed for the calls that
 * they make and for nothing else; what they answer comes when it is their turn. Order within a connection is kept by claims: a
 * request is not begun ahead when an earlier one that is not answered yet has the same key, and one of the two writes.
 *
 * One object for whatever has its requests answered in order: a connection, a batch, an HTTP request.
 */
import type { HashedKey } from "../store/hash";
import type { Turns } from "./turns";

/** Thrown, and no error of anybody: the request has to be executed again after `Calls.answered`. */
export const SUSPENDED: object = Object.freeze({ message: "the request waits for the store of record" });
/** Thrown to one that was begun ahead: it and those behind it have to wait for their turn. */
export const CONFLICT: object = Object.freeze({ message: "the request depends on an earlier one" });

/** Longer values that were read ahead are not kept until it is their turn: they are read again. */
const AHEAD_VALUE_BYTES_MAX = 64 * 1024;

/** A call to the store of record. */
export interface Ask<Value> {
  /** Null where it concerns no single one. */
  readonly key: HashedKey | null;
  readonly isWrite: boolean;
  /** Bytes of a value that is sent. */
  readonly bytes?: number;
  start(): Promise<Value>;
  /** Of the value in the answer. */
  bytesOf?(answer: Value): number;
}

interface Call {
  /** Of values that it holds. */
  bytes: number;
  outcome: { value: unknown } | { error: unknown } | null;
  /** Settled when `outcome` is there; never rejects. */
  answered: Promise<void>;
}

const AT_ONCE = Promise.resolve();

function callOf<Value>({ bytes = 0, start, bytesOf }: Ask<Value>): Call {
  const call: Call = { bytes, outcome: null, answered: AT_ONCE };
  call.answered = start().then(
    (value) => {
      call.bytes = bytesOf?.(value) ?? 0;
      call.outcome = { value };
    },
    (error) => {
      call.bytes = 0;
      call.outcome = { error };
    },
  );
  return call;
}

export class Calls {
  /** The calls of requests that are not answered yet, by the request's number, in their order. */
  private readonly made = new Map<number, Call[]>();
  /** Keys of these requests, and whether one of them writes. */
  private readonly claims = new Map<string, boolean>();
  private request = 0;
  private position = 0;
  /** The request whose turn it is. */
  private turn = 0;
  /** The last request that was begun ahead. */
  private aheadTo = -1;
  isAhead = false;
  /** The request asks for many keys: whatever is behind it may depend on it. */
  private concernsMany = false;
  /** The latest value that was read was long: to read ahead would be in vain. */
  private readsLong = false;
  /** When to execute the request again that was suspended last. */
  answered: Promise<void> = Promise.resolve();

  /**
   * @param keepsReads requests do several things each: what one has read here before it asks elsewhere must be the same when it is executed
   *   again, so it is kept (`record`)
   */
  constructor(readonly keepsReads = false) {}

  /** The request with this number is executed from its beginning; numbers rise. */
  begin(request: number): void {
    this.request = request;
    this.turn = request;
    this.position = 0;
    this.isAhead = false;
    this.concernsMany = false;
    if (request > this.aheadTo) this.claims.clear();
  }

  /** The same for one whose turn has not come: only for the calls that it makes. */
  beginAhead(request: number): void {
    this.request = request;
    this.position = 0;
    this.isAhead = true;
    this.aheadTo = request;
  }

  /** Whether requests behind this one may be begun: none of them has been yet, and this one concerns no more than its key. */
  get mayBeginAhead(): boolean {
    return this.aheadTo <= this.request && !this.concernsMany && !this.readsLong;
  }

  /** Bytes of values that wait for their request's turn, or are on their way to the store of record. */
  get heldBytes(): number {
    let held = 0;
    for (const calls of this.made.values()) for (const { bytes } of calls) held += bytes;
    return held;
  }

  /** Whether the request was begun before its turn: then its calls are here until `end`. */
  wasBegunAhead(request: number): boolean {
    return request <= this.aheadTo;
  }

  /** Requests that are not answered and have calls here; for tests. */
  get open(): number {
    return this.made.size;
  }

  /** The request is answered. */
  end(): void {
    this.made.delete(this.request);
  }

  /** What the request has done so far is done: executed again, it goes on from here. */
  proceed(): void {
    this.end();
    this.position = 0;
  }

  /** Whether the request's next call was made by an earlier execution. */
  get isRepeated(): boolean {
    return this.made.get(this.request)?.[this.position] !== undefined;
  }

  /** A request that is begun ahead uses this key. Throws CONFLICT. */
  claim(key: HashedKey, isWrite: boolean): void {
    if (this.isAhead) this.note(nameOf(key), isWrite);
  }

  /**
   * The answer to the request's next call, which is made the first time. Throws SUSPENDED until it is there, then what the call was
   * rejected with.
   */
  next<Value>(ask: Ask<Value>): Value {
    const { key, isWrite } = ask;
    if (key === null) this.concernsMany = true;
    let calls = this.made.get(this.request);
    if (calls === undefined) this.made.set(this.request, (calls = []));
    let call = calls[this.position];
    if (call === undefined) {
      if (!this.isAhead && key !== null) this.claims.set(nameOf(key), isWrite);
      calls.push((call = callOf(ask)));
      if (this.isAhead && !isWrite) this.keepIfShort(this.request, call);
    }
    const { outcome } = call;
    if (outcome === null) {
      if (!this.isAhead) this.answered = call.answered;
      throw SUSPENDED;
    }
    this.position++;
    if ("error" in outcome) throw outcome.error;
    if (!isWrite) this.readsLong = call.bytes > AHEAD_VALUE_BYTES_MAX;
    return outcome.value as Value;
  }

  /** What the request has read without a call; the next execution finds it in the same place. */
  record<Value>(value: Value): Value {
    const calls = this.made.get(this.request);
    const call: Call = { bytes: 0, outcome: { value }, answered: AT_ONCE };
    if (calls === undefined) this.made.set(this.request, [call]);
    else calls.push(call);
    this.position++;
    return value;
  }

  /** A value that was read ahead and is long is forgotten as soon as it is here. */
  private keepIfShort(request: number, call: Call): void {
    void call.answered.then(() => {
      const waits = request > this.turn && this.made.get(request)?.includes(call) === true;
      if (waits && call.bytes > AHEAD_VALUE_BYTES_MAX) this.made.delete(request);
    });
  }

  private note(name: string, isWrite: boolean): void {
    const claimed = this.claims.get(name);
    if (claimed !== undefined && (claimed || isWrite)) throw CONFLICT;
    this.claims.set(name, isWrite);
  }
}

function nameOf({ bytes, start, end }: HashedKey): string {
  return bytes.toString("latin1", start, end);
}

/** What executes requests for somebody. */
interface Executing {
  calls: Calls | null;
  newCalls(keepsReads?: boolean): Calls | null;
}

/** Does `work`, and again each time when what it waits for is there. A promise only where it waits, or `work` gives one. */
export function execute<Result>(
  commands: Executing,
  work: () => Result | Promise<Result>,
): Result | Promise<Result> {
  const calls = commands.newCalls(true);
  return calls === null ? work() : executeWith(calls, commands, work);
}

function executeWith<Result>(
  calls: Calls,
  commands: Executing,
  work: () => Result | Promise<Result>,
): Result | Promise<Result> {
  commands.calls = calls;
  calls.begin(0);
  try {
    return work();
  } catch (error) {
    if (error !== SUSPENDED) throw error;
    return calls.answered.then(() => executeWith(calls, commands, work));
  }
}

/**
 * One step of a generator that does several things one after the other. Each yield is a place where it has to be continued later: at
 * `calls.answered` where the step waits, else when the others have had their turn.
 */
export function* step<Result>(
  commands: Pick<Executing, "calls">,
  work: () => Result,
): Generator<void, Result> {
  for (;;)
    try {
      const result = work();
      commands.calls?.proceed();
      return result;
    } catch (error) {
      if (error !== SUSPENDED) throw error;
      yield;
    }
}

/** Runs such a generator to its end, for something that has no turns of its own. */
export async function drive<Result>(
  commands: Executing,
  turns: Pick<Turns, "next" | "resume">,
  running: Generator<void, Result>,
): Promise<Result> {
  const calls = commands.newCalls(true);
  for (;;) {
    commands.calls = calls;
    calls?.begin(0);
    const { done, value } = running.next();
    if (done === true) return value;
    if (calls?.isRepeated !== true) await turns.next();
    else await calls.answered.then(() => new Promise<void>((goOn) => turns.resume(goOn)));
  }
}
