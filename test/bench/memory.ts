/**
 * What memory the store really takes: bytes an entry as growth of resident memory, and whether it stays flat while a full
 * store is overwritten with values of random sizes.
 *
 *   bun run bench:memory [--seconds 60]
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random";
import { KEY_BYTES, Keys, PreparedStore } from "./prepared-store";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" } } });
const VALUE_BYTES = 64;
const MB = 2 ** 20;
const resident = () => process.memoryUsage.rss();

/** Works a throw-away store until the code is compiled, so that what grows afterwards is the store measured. */
function warmUp(keys: Keys): void {
  const store = PreparedStore.create(keys, 2, 4 * MB);
  for (let round = 0; round < 20; round++)
    for (let i = 0; i < 100_000; i++) {
      store.put(i, VALUE_BYTES);
      store.get(i);
    }
}

function bytesPerEntry(): void {
  const keys = new Keys(1_000_000);
  warmUp(keys);
  const store = PreparedStore.create(keys, 32, 32 * MB);
  Bun.gc(true);
  const before = resident();
  const usedBefore = store.store.stats().total.bytesUsed;
  for (let i = 0; i < keys.count; i++) store.put(i, VALUE_BYTES);
  const grown = resident() - before;
  const used = store.store.stats().total.bytesUsed - usedBefore;
  const beyond = (bytes: number) => (bytes / keys.count - KEY_BYTES - VALUE_BYTES).toFixed(2);
  console.log(
    `bytes an entry beyond key and value, ${keys.count} entries of ${KEY_BYTES} + ${VALUE_BYTES} bytes`,
  );
  console.log(`  resident memory  ${beyond(grown)}`);
  console.log(
    `  the store's own  ${beyond(used)}   (${((used / grown - 1) * 100).toFixed(1)} % from resident)`,
  );
}

function flatness(seconds: number): void {
  const keys = new Keys(400_000);
  const store = PreparedStore.create(keys, 16, 32 * MB);
  const limit = 16 * 32 * MB;
  const random = new Random(1);
  Bun.gc(true);
  const before = resident();
  console.log(`overwrites of 0 to 4,000 bytes in a full store of ${limit / MB} MiB`);
  let operations = 0;
  const started = performance.now();
  for (let report = 1; report <= 10; report++) {
    while (performance.now() - started < (seconds * 1000 * report) / 10)
      for (let i = 0; i < 1000; i++, operations++) store.put(random.below(keys.count), random.below(4000));
    const share = ((resident() - before) / limit) * 100;
    const { evictions, stalls, promiseBreaks } = store.store.stats().total;
    console.log(
      `  ${operations} operations, resident ${share.toFixed(1)} % of the limit, ${evictions} evictions, ${stalls} stalls, ${promiseBreaks} against the promise`,
    );
  }
}

bytesPerEntry();
flatness(Number(values.seconds));
