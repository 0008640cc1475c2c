/** The rings against a list of what should lie in them: what goes in at the head comes out at the tail, whole and in order. */
import { describe, expect, test } from "bun:test";
import { ENTRY_START_BYTES, Kind } from "../../src/store/entry";
import { R, RING_WORDS, RingId, W } from "../../src/store/layout";
import type { Ring } from "../../src/store/ring";
import type { ShardParts } from "../../src/store/parts";
import { freshParts, scatteredParts } from "../support/parts";
import { Random } from "../support/random";

const PAGE_BYTES = 512;

/** What a ring should hold: records from tail to head, pads left out. */
interface Rec {
  bytes: number;
  content: Buffer;
  isLive: boolean;
}

/** Rings of one shard, and what each should hold. The entries' headers are content like any other here, but for their kind. */
class Model {
  readonly parts: ShardParts = scatteredParts(256 << 10);
  readonly lists: Rec[][] = [[], [], []];

  append(id: RingId, content: Buffer): number {
    const { entries, pages, rings } = this.parts;
    const at = rings[id].append(content.length);
    pages.write(at, content, 0, content.length);
    // Marked as a dead entry that is as long as it is, so that its kind and length can be read.
    entries.begin(at, content.length - 16, false, false);
    entries.setValueLength(at, 0);
    this.lists[id]!.push({ bytes: content.length, content: this.read(at, content.length), isLive: true });
    return at;
  }

  kill(id: RingId, index: number): void {
    const record = this.lists[id]![index]!;
    if (!record.isLive) return;
    record.isLive = false;
    this.parts.rings[id].forget(record.bytes);
  }

  /** Takes the oldest record off, past pads; it must be the one that went in first. */
  drop(id: RingId): void {
    const ring = this.parts.rings[id];
    const record = this.lists[id]!.shift()!;
    const at = this.tailRecord(ring);
    expect(this.read(at, record.bytes)).toEqual(record.content);
    if (record.isLive) ring.forget(record.bytes);
    ring.drop(record.bytes);
  }

  move(from: RingId, to: RingId): void {
    const record = this.lists[from]![0]!;
    if (!record.isLive) return this.drop(from);
    this.tailRecord(this.parts.rings[from]);
    const at = this.parts.rings[from].moveTailTo(this.parts.rings[to], record.bytes);
    expect(this.read(at, record.bytes)).toEqual(record.content);
    this.lists[to]!.push(this.lists[from]!.shift()!);
  }

  /** Bytes, live bytes and pages of every ring are what its list says. */
  check(): void {
    let pages = 0;
    for (const [id, list] of this.lists.entries()) {
      const ring = this.parts.rings[id]!;
      const live = list.reduce((sum, { bytes, isLive }) => sum + (isLive ? bytes : 0), 0);
      const all = list.reduce((sum, { bytes }) => sum + bytes, 0);
      expect(ring.live).toBe(live);
      expect(ring.bytes).toBeGreaterThanOrEqual(all);
      expect(ring.dead).toBe(ring.bytes - live);
      pages += this.parts.block.words[W.RINGS + id * RING_WORDS + R.PAGES]!;
    }
    const { layout } = this.parts.block;
    expect(this.parts.pages.free).toBe(layout.pageCount - layout.metaPages - pages - 1);
  }

  get free(): number {
    return this.parts.pages.free * PAGE_BYTES;
  }

  private tailRecord(ring: Ring): number {
    const { entries } = this.parts;
    for (;;) {
      const at = ring.tail();
      if (entries.kind(at) !== Kind.PAD) return at;
      ring.drop(entries.bytesOf(at));
    }
  }

  private read(at: number, length: number): Buffer {
    const content = Buffer.alloc(length);
    this.parts.pages.read(at, length, content, 0);
    return content;
  }
}

describe("against a list", () => {
  for (const [name, bytesMax, steps] of [
    ["small records", 120, 20_000],
    ["records over several pages", 3000, 6000],
  ] as const)
    test(`${name}: appended, killed, moved and dropped over many laps`, () => {
      const random = new Random(bytesMax);
      const model = new Model();
      let appended = 0;
      for (let step = 0; step < steps; step++) {
        const id = random.below(3) as RingId;
        const list = model.lists[id]!;
        const dice = random.below(10);
        // Room for one more and its pad, and two pages for moving.
        const isFull = model.free < bytesMax + 4 * PAGE_BYTES;
        if (dice < 5 && !isFull) {
          const bytes = 20 + random.below(bytesMax >> 2) * 4;
          appended += bytes;
          model.append(id, random.bytes(bytes));
        } else if (list.length > 0) {
          if (dice < 7) model.kill(id, random.below(list.length));
          else if (dice < 9) model.move(id, Math.max(id, random.below(3)) as RingId);
          else model.drop(id);
        }
        if (isFull)
          for (const other of [0, 1, 2] as const) if (model.lists[other]!.length > 0) model.drop(other);
        if (step % 50 === 0) model.check();
      }
      for (const id of [0, 1, 2] as const) while (model.lists[id]!.length > 0) model.drop(id);
      model.check();
      expect(appended).toBeGreaterThan(2 * (256 << 10));
    });
});

describe("pages", () => {
  test("a record begins in the next page where the rest of this one cannot hold its start; a pad fills that", () => {
    for (let rest = 4; rest <= ENTRY_START_BYTES + 8; rest += 4) {
      const parts = freshParts();
      const ring = parts.rings[RingId.SMALL];
      const first = ring.append(PAGE_BYTES - rest);
      const second = ring.append(100);
      const fits = rest >= ENTRY_START_BYTES;
      expect(second - first).toBe(fits ? PAGE_BYTES - rest : PAGE_BYTES);
      expect(ring.bytes).toBe(PAGE_BYTES - rest + 100 + (fits ? 0 : rest));
      expect(ring.live).toBe(PAGE_BYTES - rest + 100);
      if (!fits) {
        const pad = first + PAGE_BYTES - rest;
        expect([parts.entries.kind(pad), parts.entries.bytesOf(pad)]).toEqual([Kind.PAD, rest]);
      }
      expect(parts.pages.first(parts.pages.pageOf(second))).toBe(0);
    }
  });

  test("belong to it from when the head opens them until the tail leaves them, and have running numbers", () => {
    const parts = freshParts();
    const ring = parts.rings[RingId.MAIN];
    const free = parts.pages.free;
    for (let i = 0; i < 10; i++) ring.append(PAGE_BYTES);
    expect(parts.pages.free).toBe(free - 10);
    expect(ring.tailSequence).toBe(0);
    for (let i = 1; i <= 9; i++) {
      ring.tail();
      ring.forget(PAGE_BYTES);
      ring.drop(PAGE_BYTES);
      expect([ring.tailSequence, parts.pages.free]).toEqual([i, free - 10 + i]);
    }
    // The last stays: the head is in it.
    ring.forget(PAGE_BYTES);
    ring.drop(PAGE_BYTES);
    expect([ring.bytes, ring.live, ring.tail()]).toEqual([0, 0, 0]);
    expect(parts.pages.free).toBe(free - 1);
    ring.append(40);
    ring.tail();
    expect(ring.tailSequence).toBe(10);
  });

  test("after a reset the numbers go on, so that a scan's place is never another page's", () => {
    const parts = freshParts();
    const ring = parts.rings[RingId.SMALL];
    for (let i = 0; i < 5; i++) ring.append(PAGE_BYTES);
    parts.pages.reset();
    ring.reset();
    expect([ring.bytes, ring.live, ring.tailSequence, ring.headPage, ring.tailPage]).toEqual([0, 0, 5, 0, 0]);
    ring.append(100);
    expect(ring.tailSequence).toBe(5);
  });

  test("the largest record moves with two pages to spare: its source is given back while it is copied", () => {
    const parts = freshParts(64 << 10);
    const [, small, main] = parts.rings;
    const content = new Random(9).bytes(40 * PAGE_BYTES);
    const at = small.append(content.length);
    parts.pages.write(at, content, 0, content.length);
    while (parts.pages.free > 2) parts.pages.take();
    const moved = small.moveTailTo(main, content.length);
    const copy = Buffer.alloc(content.length);
    parts.pages.read(moved, content.length, copy, 0);
    expect(copy.equals(content)).toBe(true);
    expect([small.bytes, main.bytes, small.live, main.live]).toEqual([0, content.length, 0, content.length]);
  });
});
