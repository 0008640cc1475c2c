/** Many small pieces of standard output, written together. */
import type { Terminal } from "./command";

/** Pieces are written as soon as they are so long together. */
const WRITE_BYTES = 16_384;

export class Output {
  private pieces: Uint8Array[] = [];
  private length = 0;

  constructor(private readonly terminal: Terminal) {}

  add(...pieces: (string | Uint8Array)[]): void {
    for (const piece of pieces) {
      const bytes = typeof piece === "string" ? Buffer.from(piece) : piece;
      this.pieces.push(bytes);
      this.length += bytes.length;
    }
  }

  /** Rejects with an OutputError. */
  async writeIfLong(): Promise<void> {
    if (this.length >= WRITE_BYTES) await this.flush();
  }

  /** Writes what is left, also where that is an empty value; rejects with an OutputError. */
  async flush(): Promise<void> {
    if (this.pieces.length === 0) return;
    const bytes = Buffer.concat(this.pieces);
    this.pieces = [];
    this.length = 0;
    await this.terminal.write(bytes);
  }
}
