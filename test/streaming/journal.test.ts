/** A journal against a list of what was written, and against a thread that writes while this one reads. */
import { describe, expect, test } from "bun:test";
import { Change, entryWordsFor, JournalReader, JournalWriter, Kind } from "../../src/streaming/journal";
import { streamLayoutOf } from "../../src/streaming/memory";
import { Random } from "../support/random";
import { smallStreamMemory } from "../support/small-streams";
import type { JournalOrder } from "./journal-thread";

const KEY_BYTES_MAX = 80;
const JOURNAL_BYTES = 1024;

function journals(journalBytes = JOURNAL_BYTES, workers = 1) {
  const memory = smallStreamMemory(1, { keyBytesMax: KEY_BYTES_MAX, journalBytes, workers });
  const plan = { memory, layout: streamLayoutOf(memory.sizes) };
  return { memory, writer: new JournalWriter(plan, 0), reader: new JournalReader(plan) };
}

function setBytes(change: Change, bytes: Buffer): void {
  change.bytes = bytes;
  change.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A change whose fields all follow from its number. */
function numbered(number: number): Change {
  const change = new Change();
  change.kind = Kind.TOUCHED;
  change.stamp = 2 ** 40 + number;
  change.slot = -number;
  change.keyWatchers = 1 << (number % 32);
  change.prefixWatchers = ~number;
  change.worker = number % 256;
  change.connection = number;
  setBytes(change, Buffer.from(`xx${"k".repeat(number % (KEY_BYTES_MAX + 1))}yy`));
  change.start = 2;
  change.end = change.bytes.length - 2;
  return change;
}

const textOf = (change: Change) =>
  [
    change.kind,
    change.stamp,
    change.slot,
    change.keyWatchers,
    change.prefixWatchers,
    change.worker,
    change.connection,
    change.bytes.toString("latin1", change.start, change.end),
  ].join(" ");

test("what is read is what was written, in order, or the reader knows that it missed something", () => {
  const random = new Random(3);
  const { writer, reader } = journals();
  const entryWordsMax = entryWordsFor(KEY_BYTES_MAX);
  let written = 0;
  let overruns = 0;
  for (let round = 0; round < 3000; round++) {
    const expected: string[] = [];
    let words = 0;
    for (let count = random.below(20); count > 0; count--) {
      const change = numbered(written++);
      words += entryWordsFor(change.end - change.start);
      expected.push(textOf(change));
      writer.append(change);
    }
    const read: string[] = [];
    const isWhole = reader.read(0, (change) => read.push(textOf(change)));
    expect(isWhole).toBe(words + entryWordsMax <= JOURNAL_BYTES / 4 || words === 0);
    expect(read).toEqual(isWhole ? expected : []);
    if (!isWhole) overruns++;
  }
  expect(overruns).toBeGreaterThan(10);
});

describe("the journal", () => {
  test("positions wrap", () => {
    const { memory, writer, reader } = journals();
    const heads = new Int32Array(memory.common, streamLayoutOf(memory.sizes).heads * 4, 1);
    for (const start of [-50, 0x7fff_ffff - 50]) {
      heads[0] = start & ~(JOURNAL_BYTES / 4 - 1);
      reader.skip();
      for (let number = 1; number < 40; number++) {
        writer.append(numbered(number));
        const read: string[] = [];
        expect(reader.read(0, (change) => read.push(textOf(change)))).toBe(true);
        expect(read).toEqual([textOf(numbered(number))]);
      }
    }
  });

  test("what is longer than any key may be overruns everybody, and the journal goes on", () => {
    const { writer, reader } = journals();
    const long = numbered(1);
    setBytes(long, Buffer.alloc(KEY_BYTES_MAX + 5));
    long.start = 0;
    long.end = long.bytes.length;
    writer.append(long);
    expect(reader.read(0, () => {})).toBe(false);
    writer.append(numbered(7));
    const read: string[] = [];
    expect(reader.read(0, (change) => read.push(textOf(change)))).toBe(true);
    expect(read).toEqual([textOf(numbered(7))]);
  });

  test("read without the lock while another thread writes: nothing torn, nothing twice, nothing left out unsaid", async () => {
    const { memory, reader } = journals(4096, 2);
    const done = new Int32Array(new SharedArrayBuffer(4));
    const thread = new Worker(new URL("./journal-thread.ts", import.meta.url));
    const order: JournalOrder = { memory, entries: 200_000, done: done.buffer as SharedArrayBuffer };
    thread.postMessage(order);
    let next = 0;
    let reads = 0;
    let overruns = 0;
    while (next < order.entries) {
      const isOver = Atomics.load(done, 0) === 1;
      if (isOver && next < 0) break;
      const isWhole = reader.read(0, (change) => {
        const key = change.bytes.toString("latin1", change.start, change.end);
        if (key !== "k".repeat(change.stamp % KEY_BYTES_MAX))
          throw new Error(`${change.stamp} has the key ${key}`);
        if (next >= 0 && change.stamp !== next) throw new Error(`${change.stamp} came instead of ${next}`);
        next = change.stamp + 1;
        reads++;
      });
      if (!isWhole) {
        overruns++;
        next = -1;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    thread.terminate();
    expect(reads + overruns).toBeGreaterThan(0);
    // Whatever was missed on the way, the end was not.
    expect([-1, order.entries]).toContain(next);
  });
});
