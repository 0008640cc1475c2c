/**
 * Whether a copy of what another store has may still be served. Such an entry has a stamp: its group is what becomes old
 * together, its epoch that of the group when the copy was made. Entries of the store's own have none.
 */
export interface Freshness {
  /**
   * Asked under the shard's lock at every read, so it is a few numbers of shared memory.
   * @param now on the store's clock, ms
   */
  holds(group: number, epoch: number, now: number): boolean;
}

/** For a store that makes no copies. */
export const NEVER_OLD: Freshness = { holds: () => true };
