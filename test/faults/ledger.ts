/**
 * What each key of one client may hold, as far as that client can know: the value of its last put, and both that and the
 * one before while a put is not answered. Nobody else writes these keys.
 */
import type { Random } from "../support/random";
import { isWhole, proof } from "../threads/hammer";

export class Ledger {
  /** Reads that found nothing where something had been put. */
  readonly missed: string[] = [];
  private readonly held = new Map<string, (Buffer | null)[]>();

  constructor(private readonly random: Random) {}

  /** A value for a put of this key, which proves itself; text, so that every transport carries it as it is. */
  begin(key: string, valueBytesMax: number): Buffer {
    const value = proof(key, 97 + this.random.below(26), this.random.below(valueBytesMax));
    this.held.set(key, [...this.of(key), value]);
    return value;
  }

  /** The last put of this key was answered. A value that expires may be gone at any time. */
  done(key: string, expires = false): void {
    const value = this.of(key).at(-1)!;
    this.held.set(key, expires ? [value, null] : [value]);
  }

  /** A delete of this key is on its way. */
  deleting(key: string): void {
    this.held.set(key, [...this.of(key), null]);
  }

  /** It was answered. */
  deleted(key: string): void {
    this.held.set(key, [null]);
  }

  /** Whether something is to be found under the key, as far as is known. */
  mayHold(key: string): boolean {
    return this.of(key).some((value) => value !== null);
  }

  /** What a get of this key was answered with; throws when it can't be. */
  check(key: string, value: Buffer | null): void {
    const held = this.of(key);
    if (value === null) {
      if (!held.includes(null)) this.missed.push(key);
      this.held.set(key, [null]);
      return;
    }
    if (!isWhole(key, value)) throw new WrongValue(`${key} holds a torn value`);
    if (!held.some((one) => one?.equals(value)))
      throw new WrongValue(`${key} holds a value that it never had, or no longer has`);
    // While it may still expire, both stay possible.
    if (!held.includes(null)) this.held.set(key, [value]);
  }

  /** The same where nothing expires and no request is on its way: so this is what it holds. */
  settle(key: string, value: Buffer | null): void {
    this.check(key, value);
    this.held.set(key, [value]);
  }

  private of(key: string): (Buffer | null)[] {
    return this.held.get(key) ?? [null];
  }
}

export class WrongValue extends Error {}
