/**
 * Whether this worker may go on saying that it tells all changes. Who keeps copies of its own (a near cache) takes each answer for a proof that
 * nothing has changed but what was told before it. That is so while every master that is tracked was proven within --l1-max-age; then such a copy is
 * older than the client's own bound by that much at most. The thread that tracks may hang, or be dead, so each worker looks for itself.
 *
 * Between two looks at the table lies the time in which no proof can become too old: proofs only get younger.
 */
import { MASTERS_MAX, type Trust } from "./trust";

export class Silence {
  private nextLook = -Infinity;
  /** Those that are silent, and when they were last proven. */
  private readonly silent = new Map<number, number>();

  constructor(private readonly trust: Trust) {}

  /** Whether a master has become silent since the last call: who watches has to drop everything. @param now ms on the store's clock */
  hasBegun(now: number): boolean {
    return now >= this.nextLook && this.look(now);
  }

  private look(now: number): boolean {
    const { trust, silent } = this;
    const { maxAgeMs } = trust;
    let hasBegun = false;
    let oldest = 0;
    for (let master = 0; master < MASTERS_MAX; master++) {
      const silence = trust.silenceOf(master, now);
      if (silence === null) silent.delete(master);
      else if (silence <= maxAgeMs) oldest = Math.max(oldest, silence);
      else {
        // One that has spoken since, and was not looked at then, has fallen silent once more.
        const provenAt = Math.round(now - silence);
        hasBegun ||= silent.get(master) !== provenAt;
        silent.set(master, provenAt);
      }
    }
    this.nextLook = now + maxAgeMs - oldest + 1;
    return hasBegun;
  }
}
