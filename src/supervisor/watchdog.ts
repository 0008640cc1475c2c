/**
 * Finds workers that hang. Each counts its heartbeats in shared memory, by a timer of its own; one whose count stands
 * still is silent, and after LOOKS looks in a row it hangs.
 *
 * Looks are counted, not time, so that no worker is blamed when the process was stopped or the machine slept.
 * A worker may also be silent because it waits for a shard that a hanging one has locked. So once one that holds a lock
 * is suspected, those that hold none are not judged until it is gone.
 */

/** Looks that make up the timeout. */
export const LOOKS = 10;
/** Looks of silence that make one suspected. */
const LOOKS_SUSPECT = LOOKS / 2;

export const Verdict = { HANGS: "hangs", STUCK: "stuck" } as const;
/** HANGS: it should be ended. STUCK: it was ended as long ago again, and is still there. */
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** What can be seen of the workers. */
export interface Signs {
  /** Heartbeats so far. */
  beatsOf(worker: number): number;
  /** Workers that hold a shard's lock now. */
  lockHolders(): ReadonlySet<number>;
}

interface Watch {
  beats: number;
  silentLooks: number;
}

export class Watchdog {
  private readonly watched = new Map<number, Watch>();

  constructor(private readonly signs: Signs) {}

  /** From now on; again for one that replaces another. */
  watch(worker: number): void {
    this.watched.set(worker, { beats: this.signs.beatsOf(worker), silentLooks: 0 });
  }

  /** It has ended. */
  forget(worker: number): void {
    this.watched.delete(worker);
  }

  /** Called once for each tenth of the timeout; tells each worker's verdict once. */
  look(): [worker: number, verdict: Verdict][] {
    for (const [worker, watch] of this.watched) this.listen(worker, watch);
    this.excuseWaiting();
    const verdicts: [number, Verdict][] = [];
    for (const [worker, { silentLooks }] of this.watched)
      if (silentLooks === LOOKS) verdicts.push([worker, Verdict.HANGS]);
      else if (silentLooks === 2 * LOOKS) verdicts.push([worker, Verdict.STUCK]);
    return verdicts;
  }

  private listen(worker: number, watch: Watch): void {
    const beats = this.signs.beatsOf(worker);
    watch.silentLooks = beats === watch.beats ? watch.silentLooks + 1 : 0;
    watch.beats = beats;
  }

  /** Those that may only be waiting for a lock of a suspect begin anew. */
  private excuseWaiting(): void {
    const suspects = [...this.watched].filter(([, { silentLooks }]) => silentLooks >= LOOKS_SUSPECT);
    if (suspects.length < 2) return;
    const holders = this.signs.lockHolders();
    if (!suspects.some(([worker]) => holders.has(worker))) return;
    for (const [worker, watch] of suspects)
      if (!holders.has(worker) && watch.silentLooks <= LOOKS) watch.silentLooks = 0;
  }
}
