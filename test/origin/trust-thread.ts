/** One thread of a run over the shared table; trust.test.ts says what is checked. */
import { Trust } from "../../src/origin/trust";

declare const self: Worker;

export interface TrustOrder {
  readonly memory: SharedArrayBuffer;
  /** Words of Board. */
  readonly board: SharedArrayBuffer;
  readonly role: "reader" | "doubter";
  readonly slots: number;
}

/** What the threads of a run write for each other. */
export const Board = { IS_OVER: 0, READS: 1, WRONG: 2, STARTED: 3, SLOTS: 16 } as const;

/** The place of the master whose copies are of the past: none of its epochs may be held. */
export const SILENT_MASTER = 1;
export const LIVE_MASTER = 0;
export const MAX_AGE_MS = 100;

self.onmessage = ({ data }: MessageEvent<TrustOrder>) => {
  const trust = new Trust(data.memory, MAX_AGE_MS);
  const board = new Int32Array(data.board);
  Atomics.add(board, Board.STARTED, 1);
  for (let step = 0; Atomics.load(board, Board.IS_OVER) === 0; step++) {
    const slot = step % data.slots;
    if (data.role === "doubter") trust.distrust(slot);
    else read(trust, board, slot);
  }
  self.postMessage(null);
};

/** The epochs that the silent master's slots had are announced on the board before they are trusted. */
function read(trust: Trust, board: Int32Array, slot: number): void {
  const epoch = trust.epochOf(slot);
  const isHeld = trust.holds(slot, epoch, 1_000_000);
  if (!isHeld) return;
  Atomics.add(board, Board.READS, 1);
  if (Atomics.load(board, Board.SLOTS + slot) === epoch) Atomics.add(board, Board.WRONG, 1);
}
