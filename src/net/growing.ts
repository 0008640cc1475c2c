/** Bytes that come in pieces, put together in one buffer that grows by doubling: a million tiny pieces cost no more than a large one. */

const EMPTY = Buffer.alloc(0);

export class Growing {
  private bytes = EMPTY;
  length = 0;

  /** @param bytesMax where it is known how long the whole will be: it grows no further */
  constructor(private readonly bytesMax = Infinity) {}

  /** What is kept for it. */
  get capacity(): number {
    return this.bytes.length;
  }

  append(piece: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) this.grow(needed);
    this.length += piece.copy(this.bytes, this.length, start, end);
  }

  /** All so far, in a buffer that is not much larger; nothing may be appended afterwards. */
  whole(): Buffer {
    const whole = this.bytes.subarray(0, this.length);
    return this.length < this.bytes.length / 2 ? Buffer.from(whole) : whole;
  }

  private grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.bytes.length * 2, this.bytesMax)));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
