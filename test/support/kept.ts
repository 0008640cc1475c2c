/** The file that keeps a store's memory, as tests make, read and change it. */
import { toArrayBuffer, type Pointer } from "bun:ffi";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeNote, HEADER_BYTES, type Note, notePlace, readHeader } from "../../src/warm/header";
import { type Kept, type Plan } from "../../src/warm/kept";
import { temporaryPath } from "./temporary";

export const SHAPE = { layoutVersion: 4, shards: 4, shardBytes: 5 * 512, pageBytes: 512 };
export const MINUTE_MS = 60_000;

/** A plan with a directory of its own that is not there yet. */
export function newPlan(changes: Partial<Plan> = {}): Plan {
  const directory = join(mkdtempSync(temporaryPath("kept-")), "data");
  return { directory, maxAgeMs: 5 * MINUTE_MS, shape: SHAPE, ...changes };
}

export function pathOf({ directory }: Plan): string {
  return join(directory, "breadbox.cache");
}

/** The blocks' bytes. */
export function bytesOf(kept: Kept): Uint8Array[] {
  return kept.blocks.map(({ address, bytes }) => new Uint8Array(toArrayBuffer(address as Pointer, 0, bytes)));
}

/** Fills each block with bytes of its own. */
export function fill(kept: Kept): void {
  bytesOf(kept).forEach((block, index) => block.fill(index + 1));
}

/** Whether the blocks have what fill left in them; the other thing that they can be is all zeros. */
export function isFilled(kept: Kept): boolean {
  const blocks = bytesOf(kept);
  const holds = (byteOf: (index: number) => number) =>
    blocks.every((block, index) => block.every((byte) => byte === byteOf(index)));
  if (!holds((index) => index + 1) && !holds(() => 0)) throw new Error("blocks of two minds");
  return blocks[0]![0] !== 0;
}

/** The note that counts. */
export function lastNote(plan: Plan): Note {
  return readHeader(readFileSync(pathOf(plan)).subarray(0, HEADER_BYTES)).note!;
}

/** Puts another note in the place of the one that counts. */
export function changeNote(plan: Plan, changes: Partial<Note>): void {
  const bytes = readFileSync(pathOf(plan));
  const note = { ...readHeader(bytes.subarray(0, HEADER_BYTES)).note!, ...changes };
  encodeNote(note).copy(bytes, notePlace(note));
  writeFileSync(pathOf(plan), bytes);
}
