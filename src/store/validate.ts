/**
 * Reads a shard's structure raw from its memory and checks that every part agrees with every other: pages are a permutation,
 * rings add up, every live record has exactly one slot, and every slot one live record. It shares the layout with the store and
 * none of its bookkeeping, and expects nothing of what it reads: the block may come from a file.
 */
import { Kind } from "./entry";
import type { HashedKey } from "./hash";
import { Change } from "./intent";
import { C, LAYOUT_VERSION, R, RING_WORDS, RingId, SLOTS_PER_BUCKET, W } from "./layout";
import { NO_ENTRY, TABLE_PAGE } from "./pages";
import type { ShardParts } from "./parts";
import type { Ring } from "./ring";
import { NO_SLOT } from "./table";
import { isTypeText } from "./value-type";

/** Says what does not hold. */
export class Inconsistency extends Error {
  override name = "Inconsistency";
}

function fail(what: string): never {
  throw new Inconsistency(`the shard is not consistent: ${what}`);
}

function check(holds: boolean, what: () => string): void {
  if (!holds) fail(what());
}

/** Whom a page belongs to. Rings have their RingId. */
const TABLE = 3;
const GHOST = 4;
const NOBODY = 5;
const UNSEEN = 255;
const OWNERS = [...Object.keys(RingId).map((name) => name.toLowerCase()), "table", "ghost", "nobody"];

/** What is found in all rings together. */
interface Sums {
  entries: number;
  payload: number;
}

/**
 * Checks a shard whose lock is free, or is held by the caller. Throws an Inconsistency that says what does not hold.
 * @param key aimed at each key on the way
 * @param onEntry called with each live entry's key, expired ones included
 * @returns how many entries there are
 */
export function validateShard(parts: ShardParts, key: HashedKey, onEntry?: (key: HashedKey) => void): number {
  return new Validation(parts, key, onEntry).run();
}

class Validation {
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly owners: Uint8Array;
  /** Of the ring that is being read: where in a page its first record starts. */
  private readonly starts: Int32Array;

  constructor(
    private readonly parts: ShardParts,
    private readonly key: HashedKey,
    private readonly onEntry: ((key: HashedKey) => void) | undefined,
  ) {
    this.words = parts.block.words;
    this.doubles = parts.block.doubles;
    this.owners = new Uint8Array(parts.block.layout.pageCount).fill(UNSEEN);
    this.starts = new Int32Array(parts.block.layout.pageCount);
  }

  run(): number {
    const { words, doubles } = this;
    const { table } = this.parts;
    this.checkHeader();
    this.checkTable();
    for (let i = 0; i < words[W.GHOST_PAGES]!; i++)
      this.own(words[this.parts.block.layout.ghostMapWord + i]!, GHOST);
    const sums: Sums = { entries: 0, payload: 0 };
    for (const id of Object.values(RingId)) this.checkRing(id, sums);
    check(
      sums.entries === table.entryCount,
      () => `the table has ${table.entryCount} entries, the rings ${sums.entries}`,
    );
    check(
      doubles[C.PAYLOAD] === sums.payload,
      () => `payload counted ${doubles[C.PAYLOAD]}, is ${sums.payload}`,
    );
    this.checkPool();
    return sums.entries;
  }

  private checkHeader(): void {
    const { words, doubles } = this;
    const { pageShift, pageCount, metaPages } = this.parts.block.layout;
    check(words[W.MUTATING] === Change.NONE, () => "a write did not end");
    check(words[W.LAYOUT] === LAYOUT_VERSION, () => `its layout is ${words[W.LAYOUT]}`);
    const same =
      words[W.PAGE_SHIFT] === pageShift &&
      words[W.PAGE_COUNT] === pageCount &&
      words[W.META_PAGES] === metaPages;
    check(same, () => "its pages are not those of the layout");
    check(Number.isSafeInteger(doubles[C.VERSION]), () => `its version is ${doubles[C.VERSION]}`);
  }

  /** What a slot seen earlier is trusted by: the table's pages are marked, no others are, and hold nothing beside its buckets. */
  private checkTable(): void {
    const { words } = this;
    const { table, pages, block } = this.parts;
    const { layout } = block;
    const { pageCount } = table;
    check(pageCount >= 1 && pageCount < layout.pageCount, () => `the table has ${pageCount} pages`);
    for (let i = 0; i < pageCount; i++) this.own(words[layout.tableMapWord + i]!, TABLE);
    const mask = words[W.TABLE_MASK]!;
    const split = words[W.TABLE_SPLIT]!;
    const fits =
      mask >= 0 &&
      (mask & (mask + 1)) === 0 &&
      split >= 0 &&
      split <= mask &&
      table.bucketCount <= pageCount << table.shape.bucketShift;
    check(fits, () => `the table has ${mask} + 1 + ${split} buckets in ${pageCount} pages`);
    let used = 0;
    for (let page = layout.metaPages; page < layout.pageCount; page++) {
      const isTables = this.owners[page] === TABLE;
      check((pages.next(page) === TABLE_PAGE) === isTables, () => `page ${page} and its mark disagree`);
      if (isTables) used += this.placesIn(page);
    }
    check(
      used === table.entryCount,
      () => `the table's pages have ${used} places, the table ${table.entryCount}`,
    );
  }

  private placesIn(page: number): number {
    const { words } = this;
    const pageWords = this.parts.pages.bytes >> 2;
    let used = 0;
    for (let bucket = page * pageWords; bucket < (page + 1) * pageWords; bucket += 2 * SLOTS_PER_BUCKET)
      for (let slot = bucket + SLOTS_PER_BUCKET; slot < bucket + 2 * SLOTS_PER_BUCKET; slot++)
        if (words[slot] !== 0) used++;
    return used;
  }

  private checkRing(id: RingId, sums: Sums): void {
    const { words, parts } = this;
    const { pages } = parts;
    const ring = parts.rings[id];
    const base = W.RINGS + id * RING_WORDS;
    const name = OWNERS[id]!;
    let pageCount = 0;
    let last = 0;
    for (let page = ring.tailPage; page !== 0; page = pages.next(page)) {
      this.own(page, id);
      last = page;
      pageCount++;
    }
    check(last === ring.headPage, () => `${name} ends in page ${last}, its head is in ${ring.headPage}`);
    check(
      pageCount === words[base + R.PAGES],
      () => `${name} counts ${words[base + R.PAGES]} pages, has ${pageCount}`,
    );
    check(ring.tailOffset <= pages.bytes, () => `${name}'s tail is not in its page`);
    this.starts.fill(NO_ENTRY);
    let live = 0;
    let passed = 0;
    let page = ring.tailPage;
    let offset = ring.tailOffset;
    while (passed < ring.bytes) {
      while (offset >= pages.bytes) {
        offset -= pages.bytes;
        page = pages.next(page);
        check(page !== 0, () => `${name} runs past its head`);
      }
      const at = (page << pages.shift) + offset;
      const bytes = parts.entries.bytesOf(at);
      const kind = parts.entries.kind(at);
      if (!(bytes > 0) || bytes % 4 !== 0) fail(`the record at ${at} takes ${bytes} bytes`);
      if (kind === Kind.NONE) fail(`there is no record at ${at} in ${name}`);
      if (kind !== Kind.PAD && this.starts[page] === NO_ENTRY) this.starts[page] = offset;
      if (kind === Kind.LIVE) {
        this.checkEntry(at, id);
        live += bytes;
        sums.entries++;
        sums.payload += parts.entries.keyLength(at) + parts.entries.valueLength(at);
      }
      passed += bytes;
      offset += bytes;
    }
    this.checkStarts(ring);
    check(passed === ring.bytes, () => `${name} has ${ring.bytes} bytes, records end at ${passed}`);
    check(live === ring.live, () => `${name} counts ${ring.live} live bytes, has ${live}`);
    if (ring.tailPage === 0) return;
    for (; offset > pages.bytes; offset -= pages.bytes) page = pages.next(page);
    // The end of a page is the start of the next, if there is one.
    if (offset === pages.bytes && page !== ring.headPage) {
      page = pages.next(page);
      offset = 0;
    }
    check(
      page === ring.headPage && offset === ring.headOffset,
      () => `${name} ends at ${page}:${offset}, not at its head ${ring.headPage}:${ring.headOffset}`,
    );
  }

  private checkEntry(at: number, id: RingId): void {
    const { pages, entries, table } = this.parts;
    const page = pages.pageOf(at);
    if (entries.capacity(at) < entries.valueLength(at)) fail(`the value at ${at} is longer than its room`);
    if (entries.hasTypeText(at) && !isTypeText(entries.type(at).text))
      fail(`the type at ${at} is a text that no type can have`);
    if (entries.ring(at) !== id) fail(`the entry at ${at} is in ring ${id} and says otherwise`);
    // A copy has the version that it has elsewhere.
    const isOwn = !entries.hasStamp(at);
    if (isOwn && !(entries.version(at) <= this.doubles[C.VERSION]!))
      fail(`the version at ${at} was never given out`);
    if (entries.hasExpiryField(at)) this.checkExpiry(at, page);
    entries.aimAtKey(at, this.key);
    const slot = table.find(this.key);
    if (slot === NO_SLOT) fail(`the entry at ${at} has no slot where anybody looks`);
    if (table.at(slot) !== at) fail(`the key at ${at} is also at ${table.at(slot)}`);
    this.onEntry?.(this.key);
  }

  /** Each page notes where its first record starts. That of the tail's page may have been passed by the tail. */
  private checkStarts({ tailPage, tailOffset }: Ring): void {
    const { pages } = this.parts;
    for (let page = tailPage; page !== 0; page = pages.next(page)) {
      const first = pages.first(page);
      const isPassed = page === tailPage && first >= 0 && first < tailOffset;
      if (first !== this.starts[page] && !isPassed) fail(`page ${page} misses its first record`);
    }
  }

  private checkExpiry(at: number, page: number): void {
    const expiresAt = this.parts.entries.expiresAt(at);
    if (!(this.parts.pages.expiry(page) <= expiresAt))
      fail(`page ${page} does not know when the entry at ${at} expires`);
    if (!(this.doubles[C.NEXT_EXPIRY]! <= expiresAt))
      fail(`the shard does not know when the entry at ${at} expires`);
  }

  private checkPool(): void {
    const { words } = this;
    const { pages, block } = this.parts;
    const { pageCount } = block.layout;
    const fresh = words[W.PAGE_FRESH]!;
    check(
      fresh >= block.layout.metaPages && fresh <= pageCount,
      () => `pages are said to be fresh from ${fresh} on`,
    );
    let free = pageCount - fresh;
    for (let page = words[W.PAGE_FREED]!; page !== 0; page = pages.next(page)) {
      this.own(page, NOBODY);
      free++;
    }
    for (let page = fresh; page < pageCount; page++) this.own(page, NOBODY);
    check(free === pages.free, () => `${pages.free} pages counted free, ${free} are`);
    for (let page = block.layout.metaPages; page < pageCount; page++)
      check(this.owners[page] !== UNSEEN, () => `page ${page} belongs to nobody, and is not free`);
  }

  private own(page: number, owner: number): void {
    const { metaPages, pageCount } = this.parts.block.layout;
    check(page >= metaPages && page < pageCount, () => `page ${page} of ${OWNERS[owner]} is out of range`);
    const before = this.owners[page]!;
    check(before === UNSEEN, () => `page ${page} belongs to ${OWNERS[before]} and to ${OWNERS[owner]}`);
    this.owners[page] = owner;
  }
}
