/**
 * Which master claims which slots, and what follows for the table of trust: a slot is trusted while exactly one master that is tracked claims it.
 *
 * So both sides of a move are looked at: when the old owner says first that the slot is gone, it is nobody's until the new one
 * claims it; when the new one speaks first, two claim it and it is nobody's until the old one has given in.
 *
 * Invariant: a trusted slot is claimed once, by its owner in the table.
 */
import { SLOTS } from "./slots";
import { isTrusted, type Trust } from "./trust";

const NONE = new Uint16Array(0);

export class Claims {
  /** How many masters claim each slot. */
  private readonly claimants = new Uint16Array(SLOTS);
  private readonly byMaster = new Map<number, Uint16Array>();
  private readonly marked = new Uint8Array(SLOTS);
  /** For masters whose slots are all as `confirm` left them: how often a slot had ceased to be trusted before. */
  private readonly confirmed = new Map<number, number>();

  constructor(private readonly trust: Trust) {}

  of(master: number): Uint16Array {
    return this.byMaster.get(master) ?? NONE;
  }

  /** What the master claims from now on. Slots that it claimed alone, or that it is the second one to claim, are distrusted. */
  set(master: number, slots: Uint16Array): void {
    const { claimants, marked, trust } = this;
    const before = this.of(master);
    if (before === slots) return;
    this.confirmed.clear();
    marked.fill(0);
    for (const slot of slots) marked[slot] = 1;
    for (const slot of before) {
      claimants[slot]!--;
      if (marked[slot] === 0) trust.distrust(slot);
    }
    for (const slot of slots) if (++claimants[slot]! > 1) trust.distrust(slot);
    if (slots.length === 0) this.byMaster.delete(master);
    else this.byMaster.set(master, slots);
  }

  /** Trusts what a master that was just proven claims alone. */
  confirm(master: number): void {
    const { claimants, trust, confirmed } = this;
    const { epochsRaised } = trust.counts;
    // This is called with every proof, and nearly always nothing has happened since.
    if (confirmed.get(master) === epochsRaised) return;
    confirmed.set(master, epochsRaised);
    for (const slot of this.of(master))
      if (claimants[slot] === 1 && !isTrusted(trust.epochOf(slot))) trust.claim(master, slot);
  }

  /** Throws where table and claims contradict each other; for tests. */
  invariants(): void {
    const claimants = new Uint16Array(SLOTS);
    const owners = new Int32Array(SLOTS);
    for (const [master, slots] of this.byMaster)
      for (const slot of slots) {
        claimants[slot]!++;
        owners[slot] = master;
      }
    for (let slot = 0; slot < SLOTS; slot++) {
      if (claimants[slot] !== this.claimants[slot])
        throw new Error(`the claims of slot ${slot} are miscounted`);
      if (!isTrusted(this.trust.epochOf(slot))) continue;
      if (claimants[slot] !== 1)
        throw new Error(`slot ${slot} is trusted and claimed ${claimants[slot]} times`);
      if (this.trust.ownerOf(slot) !== owners[slot])
        throw new Error(`slot ${slot} has another owner than it says`);
    }
  }
}
