/**
 * What several clients did to the keys of one store, and whether all that they read could be read. Times are ms on one monotonic clock: before
 * a request was sent, and after its answer was there. So everything is judged by what is certain; no delay of this process makes an error of it.
 *
 * A write that was answered has happened between the two. Of one whose answer was lost nobody knows: it may happen at any time from its sending
 * on, so it is `Infinity` when it ends. What nobody answers for (an expiry, a slot that loses its keys, FLUSHALL) is a write, too.
 *
 * A value is over from when a write that is certainly after it was answered:
 * - it was sent after the value's own write was answered, or behind it on the same connection; or
 * - it has the higher version.
 * A read is as old as the time between that moment and its sending. It may be as old as its client is promised; 0 where its own connection, or its own
 * node, has written since.
 *
 * What the engine itself has lost (a failover) is not guessed: somebody has to read it back, and says so (`lost`).
 */

/** Who did something: a connection, and the server that it is connected to. */
export interface Actor {
  readonly name: string;
  readonly node: number;
  /** How old a value may be that it reads, beside what its own node has written. */
  readonly maxAgeMs: number;
  /** The same where another connection of its node has written since: 0, or what a near cache of its own adds. */
  readonly ownAgeMs: number;
}

/** Something was stored, or was gone, under a key. */
export interface Change {
  readonly key: string;
  /** Names the value; null where nothing is there afterwards. */
  readonly value: string | null;
  readonly by: Actor | null;
  /** Its place among the requests of `by`. */
  readonly turn: number;
  /** Infinity: it has certainly not happened. */
  sent: number;
  /** Infinity: nobody knows whether it has happened. */
  done: number;
  /** 0 where it is not known. */
  version: number;
  /** Of the value, ms; Infinity for never. */
  readonly ttlMs: number;
}

/** The time to live of whatever was there was changed. */
export interface Touch {
  readonly key: string;
  readonly sent: number;
  readonly done: number;
  readonly ttlMs: number;
}

export interface Read {
  readonly key: string;
  readonly value: string | null;
  /** 0 where nothing was found, others wrote it, or it is not told. */
  readonly version: number;
  readonly by: Actor;
  readonly turn: number;
  readonly sent: number;
  readonly received: number;
}

/** What the cluster itself has after it has lost something. */
interface Loss {
  readonly value: string | null;
  readonly from: number;
  readonly known: number;
}

export interface Verdict {
  reads: number;
  changes: number;
  /** How old the oldest value was, ms, of all reads and of those that went to a server. */
  oldestMs: number;
  /** Acknowledged writes that the engine does not have any more. */
  lost: number;
  readonly errors: string[];
}

const ERRORS_MAX = 20;
/** A node's clock is read with an error of this size at most, and expiry has a grain of a millisecond. */
const EXPIRY_SLACK_MS = 50;

export class History {
  private readonly changes = new Map<string, Change[]>();
  private readonly touches = new Map<string, Touch[]>();
  private readonly reads = new Map<string, Read[]>();
  private readonly losses = new Map<string, Loss>();

  changed(change: Change): Change {
    listOf(this.changes, change.key).push(change);
    return change;
  }

  touched(touch: Touch): void {
    listOf(this.touches, touch.key).push(touch);
  }

  read(read: Read): void {
    listOf(this.reads, read.key).push(read);
  }

  /** Nobody writes the key any more, and this is what the cluster has now; before `from` all was well. */
  lost(key: string, loss: Loss): void {
    this.losses.set(key, loss);
  }

  get keys(): string[] {
    return [...new Set([...this.changes.keys(), ...this.reads.keys()])];
  }

  /** When the last change of each key was sent that has certainly changed something: whoever watches hears of it. */
  lastChanges(): Map<string, number> {
    const last = new Map<string, number>();
    for (const [key, changes] of this.changes)
      for (const { value, sent, done } of changes)
        if (value !== null && done < Infinity) last.set(key, Math.max(last.get(key) ?? 0, sent));
    return last;
  }

  /** Judges everything, and forgets it. */
  judge(): Verdict {
    const verdict: Verdict = { reads: 0, changes: 0, oldestMs: 0, lost: 0, errors: [] };
    for (const key of this.keys) {
      const judge = new KeyJudge(
        key,
        {
          changes: this.changes.get(key) ?? [],
          touches: this.touches.get(key) ?? [],
          reads: this.reads.get(key) ?? [],
          loss: this.losses.get(key) ?? null,
        },
        verdict,
      );
      judge.judge();
    }
    for (const all of [this.changes, this.touches, this.reads, this.losses]) all.clear();
    return verdict;
  }
}

interface KeyHistory {
  readonly changes: readonly Change[];
  readonly touches: readonly Touch[];
  readonly reads: readonly Read[];
  readonly loss: Loss | null;
}

/** A state of a key: from when it may be there, and from when it is certainly over, for everybody and for those who wrote. */
interface State {
  readonly change: Change;
  readonly begins: number;
  /** The first change that certainly came after it, by when it was answered. */
  readonly over: number;
  /** The same of the changes of one node, and of one connection, which counts its turns. */
  readonly overAt: ReadonlyMap<number, number>;
  readonly overBy: ReadonlyMap<Actor, number>;
  /** When it expires at the latest. */
  readonly expired: number;
}

class KeyJudge {
  private readonly byValue = new Map<string, Change>();
  private readonly states = new Map<Change, State>();
  private readonly absences: State[];

  constructor(
    private readonly key: string,
    private readonly history: KeyHistory,
    private readonly verdict: Verdict,
  ) {
    for (const change of history.changes) if (change.value !== null) this.byValue.set(change.value, change);
    this.learnVersions();
    const beginning: Change = {
      ...{
        key,
        value: null,
        by: null,
        turn: 0,
        sent: -Infinity,
        done: -Infinity,
        version: 0,
        ttlMs: Infinity,
      },
    };
    const expiries = history.changes
      .filter(({ value }) => value !== null)
      .map((change) => this.expiryOf(change));
    const deletions = history.changes.filter(({ value }) => value === null);
    this.absences = [beginning, ...deletions, ...expiries.filter((change) => change !== null)].map((change) =>
      this.stateOf(change),
    );
  }

  judge(): void {
    const { changes, reads, loss } = this.history;
    this.verdict.changes += changes.length;
    this.verdict.reads += reads.length;
    for (const read of reads) this.judgeRead(read);
    this.judgeOrder();
    if (loss !== null) this.countLost(loss);
  }

  /** A write whose answer was lost has its version from whoever has read it. */
  private learnVersions(): void {
    for (const { value, version, received } of this.history.reads) {
      if (value === null || version === 0) continue;
      const change = this.byValue.get(value);
      if (change === undefined) continue;
      if (change.version === 0) change.version = version;
      else if (change.version !== version)
        this.fail(`${value} was read with version ${version} at ${received}, and has ${change.version}`);
    }
  }

  private judgeRead(read: Read): null | void {
    const { loss } = this.history;
    if (loss !== null && read.received >= loss.from) {
      if (read.value === loss.value) return;
      // What was read back may have expired since.
      if (read.value !== null && read.sent > loss.known + read.by.maxAgeMs)
        return this.fail(`${textOf(read)}, and the cluster has ${loss.value}`);
    }
    const age = read.value === null ? this.ageOfAbsence(read) : this.ageOfValue(read, read.value);
    if (age !== null) this.verdict.oldestMs = Math.max(this.verdict.oldestMs, age);
  }

  private ageOfValue(read: Read, value: string): number | null {
    const change = this.byValue.get(value);
    if (change === undefined) return this.fail(`${textOf(read)}, which nobody has written`);
    if (change.sent > read.received) return this.fail(`${textOf(read)} before it was written`);
    const state = this.stateOf(change);
    const age = Math.max(0, read.sent - Math.min(state.over, state.expired));
    const problem = this.problemOf(read, state, age);
    if (problem === null) return age;
    return this.fail(state.expired < state.over ? `${problem} (it had expired)` : problem);
  }

  /** Nothing may be there for any of several reasons: the best one counts. */
  private ageOfAbsence(read: Read): number | null {
    let best = Infinity;
    let problem = `${textOf(read)} when nothing had taken it away`;
    for (const state of this.absences) {
      if (state.begins > read.received) continue;
      const age = Math.max(0, read.sent - state.over);
      const found = this.problemOf(read, state, age);
      if (found === null) best = Math.min(best, age);
      else problem = found;
    }
    return best === Infinity ? this.fail(problem) : best;
  }

  private problemOf(read: Read, { overAt, overBy }: State, age: number): string | null {
    const { by, sent, turn } = read;
    if (age > by.maxAgeMs) return `${textOf(read)}, which was over ${age.toFixed(1)} ms before`;
    const own = sent - (overAt.get(by.node) ?? Infinity);
    if (own > by.ownAgeMs) return `${textOf(read)}, and its node had written ${own.toFixed(1)} ms before`;
    if ((overBy.get(by) ?? Infinity) < turn) return `${textOf(read)}, and had written itself before`;
    return null;
  }

  /** One connection sees no version after a later one, and none again that was gone. */
  private judgeOrder(): void {
    const { loss } = this.history;
    const last = new Map<Actor, { version: number; wasGone: boolean }>();
    for (const read of [...this.history.reads].sort((a, b) => a.turn - b.turn)) {
      if (loss !== null && read.received >= loss.from) continue;
      const before = last.get(read.by);
      if (read.value === null) {
        if (before !== undefined) before.wasGone = true;
        continue;
      }
      const version = this.byValue.get(read.value)?.version ?? 0;
      if (version === 0) continue;
      const isBack =
        before !== undefined && (version < before.version || (before.wasGone && version === before.version));
      if (isBack) this.fail(`${textOf(read)}: back in time, from version ${before.version}`);
      last.set(read.by, { version, wasGone: false });
    }
  }

  /** Those that are certainly after what the cluster has. */
  private countLost({ value, from }: Loss): void {
    const kept = value === null ? null : this.byValue.get(value);
    if (kept === undefined) {
      this.fail(`the cluster has ${value}, which nobody has written`);
      return;
    }
    // It may have expired, or been deleted, before.
    if (kept === null && this.absences.some((state) => state.over > from && state.begins < from)) return;
    for (const change of this.history.changes)
      if (change.done < from && (kept === null ? change.value !== null : this.isAfter(change, kept)))
        this.verdict.lost++;
  }

  private stateOf(change: Change): State {
    const known = this.states.get(change);
    if (known !== undefined) return known;
    let over = Infinity;
    const overAt = new Map<number, number>();
    const overBy = new Map<Actor, number>();
    for (const later of this.history.changes) {
      if (!this.isAfter(later, change)) continue;
      over = Math.min(over, later.done);
      if (later.by === null) continue;
      overAt.set(later.by.node, Math.min(overAt.get(later.by.node) ?? Infinity, later.done));
      overBy.set(later.by, Math.min(overBy.get(later.by) ?? Infinity, later.turn));
    }
    const expired = change.value === null ? Infinity : this.expiresAt(change)[1];
    const state = { change, begins: change.sent, over, overAt, overBy, expired };
    this.states.set(change, state);
    return state;
  }

  private isAfter(later: Change, earlier: Change): boolean {
    if (later === earlier || later.done === Infinity) return false;
    if (later.sent > earlier.done) return true;
    if (later.by !== null && later.by === earlier.by && later.turn > earlier.turn && earlier.done < Infinity)
      return true;
    return later.version !== 0 && earlier.version !== 0 && later.version > earlier.version;
  }

  /** When a value may expire, and when it has. Whoever touches it may have done so while it was there, or not. */
  private expiresAt({ sent, done, ttlMs }: Change): [number, number] {
    let earliest = sent + ttlMs;
    let latest = done + ttlMs;
    for (const touch of this.history.touches) {
      if (touch.done <= sent) continue;
      earliest = Math.min(earliest, touch.sent + touch.ttlMs);
      latest = Math.max(latest, touch.done + touch.ttlMs);
    }
    return [earliest - EXPIRY_SLACK_MS, latest + EXPIRY_SLACK_MS];
  }

  private expiryOf(change: Change): Change | null {
    const [sent, done] = this.expiresAt(change);
    return sent === Infinity ? null : { ...change, value: null, by: null, sent, done, version: 0 };
  }

  private fail(what: string): null {
    const { errors } = this.verdict;
    if (errors.length < ERRORS_MAX) errors.push(`${this.key}: ${what}`);
    return null;
  }
}

function textOf({ by, value, version, sent, received }: Read): string {
  const what = value === null ? "nothing" : `${value} (version ${version})`;
  return `${by.name} of node ${by.node} read ${what}, ${sent.toFixed(1)} to ${received.toFixed(1)}`;
}

function listOf<T>(lists: Map<string, T[]>, key: string): T[] {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, (list = []));
  return list;
}
