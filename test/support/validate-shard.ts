/**
 * Reads a whole shard's structure raw from its memory and checks that every part agrees with every other.
 * Shares the layout with the store, none of its bookkeeping. Throws an Error that names what does not hold.
 */
import { Entries, Kind } from "../../src/store/entry";
import { HashedKey, type HashSeed } from "../../src/store/hash";
import { C, R, RING_WORDS, RingId, type ShardLayout, SLOTS_PER_BUCKET, W } from "../../src/store/layout";
import { openBlock } from "../../src/store/memory";
import { NO_ENTRY, Pages, TABLE_PAGE } from "../../src/store/pages";
import { Table } from "../../src/store/table";

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`shard is not consistent: ${what}`);
}

export interface ValidShard {
  entries: number;
  keys: Set<string>;
}

/** @returns what the shard holds, expired entries included */
export function validateShard(memory: SharedArrayBuffer, layout: ShardLayout, seed: HashSeed): ValidShard {
  const block = openBlock(memory, layout);
  const { words, doubles } = block;
  const pages = new Pages(block);
  const entries = new Entries(block, pages);
  const table = new Table(block, pages, entries);
  const key = new HashedKey(seed);
  const owners = new Map<number, string>();
  const own = (page: number, owner: string) => {
    check(page >= layout.metaPages && page < layout.pageCount, `page ${page} of ${owner} is out of range`);
    check(!owners.has(page), `page ${page} belongs to ${owners.get(page)} and to ${owner}`);
    owners.set(page, owner);
  };

  check(words[W.LOCK] === 0, "the lock is held");
  check(words[W.MUTATING] === 0, "a write did not end");

  const slots = new Map<number, number>();
  table.forEachSlot((slot, hash) => {
    check(!slots.has(table.at(slot)), `two slots point at ${table.at(slot)}`);
    slots.set(table.at(slot), hash);
  });
  check(slots.size === words[W.TABLE_ENTRIES], `table counts ${words[W.TABLE_ENTRIES]}, has ${slots.size}`);
  for (let i = 0; i < table.pageCount; i++) own(words[layout.tableMapWord + i]!, "table");
  checkTablePages(words, layout, pages, table, new Set(owners.keys()));
  for (let i = 0; i < words[W.GHOST_PAGES]!; i++) own(words[layout.ghostMapWord + i]!, "ghost");

  const keys = new Set<string>();
  let payload = 0;
  for (const [name, id] of Object.entries(RingId)) {
    const base = W.RINGS + id * RING_WORDS;
    let pageCount = 0;
    const tailPage = words[base + R.TAIL_PAGE]!;
    for (let page = tailPage; page !== 0; page = pages.next(page)) {
      own(page, name);
      pageCount++;
      if (pages.next(page) === 0) check(page === words[base + R.HEAD_PAGE], `${name} ends before its head`);
    }
    check(
      pageCount === words[base + R.PAGES],
      `${name} counts ${words[base + R.PAGES]} pages, has ${pageCount}`,
    );
    let live = 0;
    let passed = 0;
    const total = words[base + R.BYTES]!;
    let page = tailPage;
    let offset = words[base + R.TAIL_AT]!;
    while (passed < total) {
      while (offset >= layout.pageBytes) {
        offset -= layout.pageBytes;
        page = pages.next(page);
        check(page !== 0, `${name} runs past its head`);
      }
      const at = page * layout.pageBytes + offset;
      const bytes = entries.bytesOf(at);
      check(bytes > 0 && bytes % 4 === 0, `record at ${at} takes ${bytes} bytes`);
      const kind = entries.kind(at);
      check(kind !== Kind.NONE, `no record at ${at} in ${name}`);
      if (kind === Kind.LIVE) {
        check(
          pages.first(page) !== NO_ENTRY && pages.first(page) <= offset,
          `page ${page} misses its first record`,
        );
        check(entries.capacity(at) >= entries.valueLength(at), `the value at ${at} is longer than its room`);
        live += bytes;
        payload += entries.keyLength(at) + entries.valueLength(at);
        check(entries.ring(at) === id, `entry at ${at} is in ${name} and says otherwise`);
        check(pages.expiry(page) <= entries.expiresAt(at), `page ${page} does not know the expiry at ${at}`);
        entries.aimAtKey(at, key);
        check(slots.get(at) === key.hash, `entry at ${at} has no slot with its hash`);
        check(table.findAt(key.hash, at) >= 0, `entry at ${at} is in a bucket where nobody looks`);
        const text = key.bytes.toString("latin1", key.start, key.end);
        check(!keys.has(text), `key ${text} is there twice`);
        keys.add(text);
        slots.delete(at);
      }
      passed += bytes;
      offset += bytes;
    }
    check(passed === total, `${name} has ${total} bytes, records end at ${passed}`);
    check(live === words[base + R.LIVE], `${name} counts ${words[base + R.LIVE]} live bytes, has ${live}`);
    if (tailPage !== 0) {
      for (; offset > layout.pageBytes; offset -= layout.pageBytes) page = pages.next(page);
      const end = page * layout.pageBytes + offset;
      const head = words[base + R.HEAD_PAGE]! * layout.pageBytes + words[base + R.HEAD_AT]!;
      check(total === 0 || end === head, `${name} ends at ${end}, its head is at ${head}`);
    }
  }
  check(slots.size === 0, `${slots.size} slots point at no live entry`);
  check(doubles[C.PAYLOAD] === payload, `payload counted ${doubles[C.PAYLOAD]}, is ${payload}`);

  let free = layout.pageCount - words[W.PAGE_FRESH]!;
  for (let page = words[W.PAGE_FREED]!; page !== 0; page = pages.next(page)) {
    own(page, "nobody");
    free++;
  }
  for (let page = words[W.PAGE_FRESH]!; page < layout.pageCount; page++) own(page, "nobody, fresh");
  check(free === words[W.PAGE_FREE_COUNT], `${words[W.PAGE_FREE_COUNT]} pages counted free, ${free} are`);
  check(owners.size === layout.pageCount - layout.metaPages, `${owners.size} pages accounted for`);
  return { entries: keys.size, keys };
}

/** What a slot seen earlier is trusted by: the table's pages are marked, no others are, and hold nothing beside its buckets. */
function checkTablePages(
  words: Int32Array,
  layout: ShardLayout,
  pages: Pages,
  table: Table,
  tablePages: ReadonlySet<number>,
): void {
  for (let page = layout.metaPages; page < layout.pageCount; page++)
    check((pages.next(page) === TABLE_PAGE) === tablePages.has(page), `page ${page} and its mark disagree`);
  let used = 0;
  for (const page of tablePages) {
    const start = (page * layout.pageBytes) / 4;
    for (let word = start; word < start + layout.pageBytes / 4; word++)
      if (word % (2 * SLOTS_PER_BUCKET) >= SLOTS_PER_BUCKET && words[word] !== 0) used++;
  }
  check(used === table.entryCount, `the table's pages have ${used} places, the table ${table.entryCount}`);
}
