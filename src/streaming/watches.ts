/**
 * What the connections of one worker watch, and the telling: an entry of a journal in, pushes in the feeds it concerns out.
 *
 * Invariant: a feed's `keys` is the number of its live records in the watch table. Whatever takes a record out of the table tells its feed.
 */
import type { KeyBytes } from "../protocol/push";
import { ResetReason } from "../protocol/wire";
import type { Feed } from "./feed";
import { type Change, Kind } from "./journal";
import { isPrefix, overlap } from "./prefixes";
import { type WatchStart, WatchTable } from "./watch-table";

const EVERY_KEY = Buffer.alloc(0);

/** Told of what there is to count. */
export interface StreamCounts {
  keyTold(): void;
  resetTold(reason: ResetReason): void;
  /** So many single-key watches more, or less. */
  watching(more: number): void;
  /** The same for tickets. */
  waiting(more: number): void;
}

interface PrefixGroup {
  readonly prefix: Buffer;
  /** Whether a connection is not told of its own writes. */
  readonly members: Map<Feed, boolean>;
}

export class Watches {
  private table: WatchTable | null = null;
  /** By their numbers in the watch table. */
  private readonly watchers = new Map<number, Feed>();
  private lastWatcher = 0;
  /** By their places. */
  private readonly groups = new Map<number, PrefixGroup>();
  /** Numbers the changes that are told, from 1 on. */
  private told = 0;
  private version = 0;
  /** Single keys that are watched. */
  keys = 0;
  /** False where the store keeps copies: its stamps are not the versions that clients know. */
  tellsVersions = true;

  /**
   * @param worker this one's number in the journals
   * @param slots of the watch table
   * @param bytesMax for the watch table
   * @param onNews told of each feed that has something to send
   */
  constructor(
    private readonly place: { worker: number; slots: number; bytesMax: number },
    private readonly counts: StreamCounts,
    private readonly onNews: (feed: Feed) => void,
  ) {}

  get isEmpty(): boolean {
    return this.keys === 0 && this.groups.size === 0;
  }

  watchKey(feed: Feed, slot: number, key: KeyBytes, start: WatchStart): void {
    this.table ??= new WatchTable(this.place.slots, this.place.bytesMax, (watcher, old) =>
      this.giveUp(watcher, old),
    );
    if (feed.watcher === 0) this.number(feed);
    if (!start.isFresh && this.table.has(slot, feed.watcher, key)) return;
    this.count(feed, 1);
    if (this.table.add(slot, feed.watcher, start, key)) return;
    this.count(feed, -1);
    this.push(feed, 0, key);
  }

  /** All its single-key watches are void. */
  dropKeys(feed: Feed): void {
    this.watchers.delete(feed.watcher);
    feed.watcher = 0;
    this.count(feed, -feed.keys);
  }

  /** Whether it watches the prefix at this place already. */
  watchesPrefix(feed: Feed, place: number): boolean {
    return this.groups.get(place)?.members.has(feed) === true;
  }

  watchPrefix(feed: Feed, place: number, prefix: Buffer, isNoLoop: boolean): void {
    let group = this.groups.get(place);
    if (group === undefined)
      this.groups.set(place, (group = { prefix: Buffer.from(prefix), members: new Map() }));
    if (!group.members.has(feed)) feed.prefixes.push(place);
    group.members.set(feed, isNoLoop);
  }

  unwatchPrefix(feed: Feed, place: number): void {
    const { members } = this.groups.get(place)!;
    members.delete(feed);
    feed.prefixes.splice(feed.prefixes.indexOf(place), 1);
    if (members.size === 0) this.groups.delete(place);
  }

  /** The place of a prefix that this feed watches, or undefined. */
  placeOf(feed: Feed, prefix: Buffer): number | undefined {
    return feed.prefixes.find((place) => this.groups.get(place)!.prefix.equals(prefix));
  }

  /** A key was changed or touched. @param isForKeys whether somebody here watched it, or a key that shares its word; the same for prefixes */
  tellChanged(change: Change, isForKeys: boolean, isForPrefixes: boolean): void {
    this.told++;
    this.version = this.tellsVersions && change.kind !== Kind.TOUCHED ? change.stamp : 0;
    if (isForKeys) this.table?.use(change.slot, change.stamp, change, this.onUsed);
    if (!isForPrefixes) return;
    for (const { prefix, members } of this.groups.values()) {
      if (!isPrefix(prefix, change.bytes, change.start, change.end)) continue;
      for (const [feed, isNoLoop] of members)
        if (!isNoLoop || !this.isOwn(feed, change)) this.tellOnce(feed, change);
    }
  }

  /** Keys with a prefix are gone. @param hasAll whether that is every key of a shard: then all single-key watches are in doubt */
  tellCleared(cleared: Buffer, hasAll: boolean): void {
    if (hasAll)
      for (const feed of [...this.watchers.values()])
        if (feed.keys > 0) this.reset(feed, ResetReason.CLEARED);
    for (const { prefix, members } of this.groups.values()) {
      if (!overlap(prefix, cleared)) continue;
      // What both begin with is the longer one, and a connection hears only of what it watches.
      const longer = prefix.length > cleared.length ? prefix : cleared;
      for (const feed of members.keys()) this.pushReset(feed, ResetReason.CLEARED, Buffer.from(longer));
    }
  }

  /** Nobody knows what was missed: every connection that watches anything drops everything. */
  resetAll(reason: ResetReason): void {
    const all = new Set<Feed>();
    for (const feed of this.watchers.values()) if (feed.keys > 0) all.add(feed);
    for (const { members } of this.groups.values()) for (const feed of members.keys()) all.add(feed);
    for (const feed of all) this.reset(feed, reason);
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    this.table?.invariants();
    let keys = 0;
    for (const [number, feed] of this.watchers) {
      keys += feed.keys;
      if (feed.watcher !== number) throw new Error(`feed ${feed.number} has another number`);
      const kept = this.table!.keysOf(number).length;
      if (kept !== feed.keys)
        throw new Error(`feed ${feed.number} counts ${feed.keys} keys, ${kept} are kept`);
    }
    if (keys !== this.keys) throw new Error(`${keys} keys are watched, ${this.keys} are counted`);
    for (const [place, { members }] of this.groups) {
      if (members.size === 0) throw new Error("an empty group is kept");
      for (const feed of members.keys())
        if (!feed.prefixes.includes(place))
          throw new Error(`feed ${feed.number} does not know place ${place}`);
    }
  }

  private readonly onUsed = (watcher: number, key: KeyBytes, isSame: boolean): void => {
    const feed = this.watchers.get(watcher);
    if (feed === undefined) return;
    this.count(feed, -1);
    if (isSame) this.tellOnce(feed, key);
    else this.push(feed, 0, key);
  };

  private giveUp(watcher: number, key: KeyBytes): void {
    const feed = this.watchers.get(watcher);
    if (feed === undefined) return;
    this.count(feed, -1);
    this.push(feed, 0, key);
  }

  private count(feed: Feed, more: number): void {
    feed.keys += more;
    this.keys += more;
    this.counts.watching(more);
  }

  private isOwn(feed: Feed, { worker, connection }: Change): boolean {
    return connection === feed.number && worker === this.place.worker;
  }

  /** A key may be watched twice by one connection, by itself and by its prefixes. */
  private tellOnce(feed: Feed, key: KeyBytes): void {
    if (feed.toldOf === this.told) return;
    feed.toldOf = this.told;
    this.push(feed, this.version, key);
  }

  private push(feed: Feed, version: number, key: KeyBytes): void {
    this.counts.keyTold();
    if (!feed.pushes.changed(version, key) && !(feed.owner.makeRoom() && feed.pushes.changed(version, key)))
      this.reset(feed, ResetReason.OVERFLOW);
    this.onNews(feed);
  }

  private pushReset(feed: Feed, reason: ResetReason, prefix: Buffer): void {
    if (!feed.pushes.reset(reason, prefix) && !(feed.owner.makeRoom() && feed.pushes.reset(reason, prefix)))
      return this.reset(feed, ResetReason.OVERFLOW);
    this.counts.resetTold(reason);
    this.onNews(feed);
  }

  /** It drops everything; its single-key watches are void. */
  private reset(feed: Feed, reason: ResetReason): void {
    this.dropKeys(feed);
    feed.pushes.reset(reason, EVERY_KEY);
    this.counts.resetTold(reason);
    this.onNews(feed);
  }

  private number(feed: Feed): void {
    feed.watcher = ++this.lastWatcher;
    this.watchers.set(feed.watcher, feed);
  }
}
