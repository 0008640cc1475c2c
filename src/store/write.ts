/** What is to be stored under a key. One object is filled anew for each write, so that none allocates. */

const NOTHING = Buffer.alloc(0);

export class Write {
  /** value[start, end) is what is stored. */
  value: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** Value bytes to leave room for; 0 for no more than the value takes. */
  capacity = 0;
  /** In ms on the store's clock, Infinity for never. */
  expiresAt = Infinity;
  version = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** Lets go of the value. */
  clear(): void {
    this.value = NOTHING;
    this.capacity = 0;
  }
}
