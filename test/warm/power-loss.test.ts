/**
 * A disk that loses power has what was synced, and of what was written since any sectors at all. Whatever it has, the
 * next server believes a header that says CLEAN only where the blocks are those that were synced before it said so.
 */
import { afterEach, expect, spyOn, test } from "bun:test";
import { CacheFile } from "../../src/warm/file";
import { fileBytesOf, HEADER_BYTES, isOurs, readHeader, type Shape, State } from "../../src/warm/header";
import { openKept, type Plan } from "../../src/warm/kept";
import { misfit } from "../../src/warm/misfit";
import { MINUTE_MS, newPlan, SHAPE } from "../support/kept";

const SECTOR_BYTES = 512;
const OTHER_BOOT = "7d3c1c1a-2b4e-4d0f-8f61-1e9a5b7c3d20";

/** What happened to the file, in order. */
type Event =
  | { kind: "write"; at: number; bytes: Buffer }
  | { kind: "sync" | "truncate" | "reserve" }
  /** Threads stored into the blocks, which are found by this seed. */
  | { kind: "store"; seed: readonly [number, number] };

let events: Event[] = [];
const spies: { mockRestore(): void }[] = [];

afterEach(() => {
  for (const spy of spies.splice(0)) spy.mockRestore();
  events = [];
});

function record(): void {
  const { write, sync, truncate, reserve } = CacheFile.prototype;
  spies.push(
    spyOn(CacheFile.prototype, "write").mockImplementation(function (this: CacheFile, bytes, at) {
      events.push({ kind: "write", at, bytes: Buffer.from(bytes) });
      write.call(this, bytes, at);
    }),
    spyOn(CacheFile.prototype, "sync").mockImplementation(function (this: CacheFile) {
      events.push({ kind: "sync" });
      sync.call(this);
    }),
    spyOn(CacheFile.prototype, "truncate").mockImplementation(function (this: CacheFile, bytes) {
      events.push({ kind: "truncate" });
      truncate.call(this, bytes);
    }),
    spyOn(CacheFile.prototype, "reserve").mockImplementation(function (this: CacheFile, bytes) {
      events.push({ kind: "reserve" });
      reserve.call(this, bytes);
    }),
  );
}

/** A server's whole life: it opens the memory, and stores into it before and after its heartbeats. */
function live(plan: Plan, now: number): void {
  const kept = openKept(plan, now);
  const store = () => events.push({ kind: "store", seed: kept.seed });
  store();
  kept.beat(now, now, 1);
  store();
  kept.beat(now, now, 2);
  store();
  kept.close(now, now, 3);
}

/** The first page as it may be after a loss of power: what is synced, and any of the sectors written since. */
function* pagesLeft(synced: Buffer, written: { at: number; bytes: Buffer }[]): Generator<Buffer> {
  const sectors = new Map<number, Buffer[]>();
  const page = Buffer.from(synced);
  for (const { at, bytes } of written) {
    bytes.copy(page, at);
    const first = Math.floor(at / SECTOR_BYTES);
    for (let sector = first; sector * SECTOR_BYTES < at + bytes.length; sector++) {
      const now = Buffer.from(page.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
      sectors.set(sector, [...(sectors.get(sector) ?? [sectorOf(synced, sector)]), now]);
    }
  }
  yield* combinations(synced, [...sectors]);
}

function sectorOf(page: Buffer, sector: number): Buffer {
  return Buffer.from(page.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
}

function* combinations(page: Buffer, sectors: [number, Buffer[]][]): Generator<Buffer> {
  const [next, ...rest] = sectors;
  if (next === undefined) return yield page;
  for (const content of new Map(next[1].map((bytes) => [bytes.toString("latin1"), bytes])).values()) {
    const one = Buffer.from(page);
    content.copy(one, next[0] * SECTOR_BYTES);
    yield* combinations(one, rest);
  }
}

/** Whether the next server would go on with the blocks, after a restart of the machine; the file's length may be right. */
function goesOn(page: Buffer, shape: Shape, now: number): boolean {
  if (!isOurs(page)) return false;
  const fileBytes = fileBytesOf(shape);
  return (
    misfit(readHeader(page), { shape, fileBytes, bootId: OTHER_BOOT, now, maxAgeMs: 60 * MINUTE_MS }) === null
  );
}

/** Goes through every moment and everything that a disk may have then; returns how often a server would go on. */
function trustedPages(shape: Shape, now: number): { pages: number; trusted: number } {
  let synced: Buffer = Buffer.alloc(HEADER_BYTES);
  let contentOf: readonly [number, number] | null = null;
  let pending: Event[] = [];
  let isLong = false;
  const counts = { pages: 0, trusted: 0 };
  for (const event of [...events, { kind: "sync" } as const]) {
    if (event.kind !== "sync") pending.push(event);
    const writes = pending.filter((one) => one.kind === "write");
    const changes = pending.filter(({ kind }) => kind === "store" || kind === "truncate");
    isLong ||= event.kind === "reserve";
    for (const page of pagesLeft(synced, writes)) {
      counts.pages++;
      // A file that has a length and no magic would be another program's, and refused.
      if (isLong) expect(isOurs(page)).toBe(true);
      if (!goesOn(page, shape, now)) continue;
      counts.trusted++;
      const { identity, note } = readHeader(page);
      expect({ state: note!.state, unsynced: changes, seed: identity!.seed }).toEqual({
        state: State.CLEAN,
        unsynced: [],
        seed: contentOf!,
      });
    }
    if (event.kind !== "sync") continue;
    for (const { at, bytes } of writes) bytes.copy(synced, at);
    for (const change of changes) contentOf = change.kind === "store" ? change.seed : null;
    pending = [];
  }
  return counts;
}

test("after three lives with the same settings", () => {
  const plan = newPlan();
  record();
  for (let life = 0; life < 3; life++) live(plan, life);
  const { pages, trusted } = trustedPages(SHAPE, 3);
  expect(events.filter(({ kind }) => kind === "store").length).toBe(9);
  expect(trusted).toBeGreaterThan(3);
  expect(pages).toBeGreaterThan(trusted);
});

test("where the second life drops what the first left, for other settings or for its age", () => {
  const [other, layout] = [
    { ...SHAPE, pageBytes: 1024 },
    { ...SHAPE, layoutVersion: 5 },
  ];
  for (const [second, ageMs] of [
    [other, 0],
    [layout, 0],
    [SHAPE, 10 * MINUTE_MS],
  ] as const) {
    const plan = newPlan();
    record();
    live(plan, 0);
    live({ ...plan, shape: second }, ageMs);
    for (const shape of [SHAPE, second]) expect(trustedPages(shape, ageMs).trusted).toBeGreaterThan(0);
    for (const spy of spies.splice(0)) spy.mockRestore();
    events = [];
  }
});
