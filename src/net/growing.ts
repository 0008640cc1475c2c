/** Bytes that come in pieces, put together in one buffer that grows by a factor: a million tiny pieces cost no more than a large one. */

const GROWTH = 4;
/** From here on all the room is taken that will be needed: it costs no memory before it is written, and copying again would. */
const WHOLE_FROM_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

export class Growing {
  /** What has come in, and room for more; another buffer after it has grown. */
  bytes = EMPTY;
  length = 0;

  /** @param bytesMax where it is known how long the whole will be: it grows no further */
  constructor(private readonly bytesMax = Infinity) {}

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
    const isLarge = needed >= WHOLE_FROM_BYTES && this.bytesMax !== Infinity;
    const room = isLarge ? this.bytesMax : Math.min(this.bytes.length * GROWTH, this.bytesMax);
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, room));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
