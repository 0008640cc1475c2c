/** The tables that workers share: prefixes and leases, each against a list of what should be in it. */
import { describe, expect, test } from "bun:test";
import { HashedKey, hashSeedOf } from "../../src/store/hash";
import { LeaseAsk, LeaseOutcome } from "../../src/store/observer";
import { Leases } from "../../src/streaming/leases";
import { bitOf, LEASES_MAX, PREFIXES_MAX, streamLayoutOf } from "../../src/streaming/memory";
import { NO_PLACE, overlap, Prefixes } from "../../src/streaming/prefixes";
import { Random } from "../support/random";
import { smallStreamMemory } from "../support/small-streams";

const SEED = hashSeedOf(1, 2);

function keyOf(text: string): HashedKey {
  const bytes = Buffer.from(text);
  const key = new HashedKey(SEED);
  key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
  return key;
}

function plan(workers: number) {
  const memory = smallStreamMemory(1, { workers, keyBytesMax: 64 });
  return { memory, layout: streamLayoutOf(memory.sizes) };
}

describe("prefixes", () => {
  for (const workers of [2, 40])
    test(`of ${workers} workers: each finds those of all, whatever comes and goes`, () => {
      const random = new Random(4);
      const shared = plan(workers);
      const writer = new Prefixes(shared);
      const reader = new Prefixes(shared);
      const watched: { prefix: string; place: number; worker: number }[] = [];
      for (let step = 0; step < 2000; step++) {
        const worker = random.below(workers);
        const prefix = `${"ab"[random.below(2)]}${"c".repeat(random.below(4))}${random.below(20)}`;
        const distinct = new Set(watched.map((each) => each.prefix));
        if (random.below(20) === 0) {
          writer.forget(worker);
          for (let i = watched.length - 1; i >= 0; i--)
            if (watched[i]!.worker === worker) watched.splice(i, 1);
        } else if (random.below(5) > 1) {
          const place = writer.add(Buffer.from(prefix), worker);
          const hasRoom = distinct.has(prefix) || distinct.size < PREFIXES_MAX;
          expect(place !== NO_PLACE).toBe(hasRoom);
          if (hasRoom) watched.push({ prefix, place, worker });
        } else if (watched.length > 0) {
          const [{ place, worker: owner }] = watched.splice(random.below(watched.length), 1) as [
            (typeof watched)[0],
          ];
          writer.remove(place, owner);
        }
        writer.invariants();
        const key = `${prefix}:1`;
        const bits = (fits: (prefix: string) => boolean) =>
          watched.reduce((sum, each) => (fits(each.prefix) ? sum | bitOf(each.worker) : sum), 0);
        expect(reader.watchersOf(keyOf(key))).toBe(bits((each) => key.startsWith(each)));
        expect(reader.watchersAround(Buffer.from("ac"))).toBe(
          bits((each) => each.startsWith("ac") || "ac".startsWith(each)),
        );
        expect(reader.count).toBe(new Set(watched.map((each) => each.prefix)).size);
      }
    });

  test("an empty one is of every key, and the longest is kept whole", () => {
    const prefixes = new Prefixes(plan(1));
    prefixes.add(Buffer.alloc(0), 0);
    expect(prefixes.watchersOf(keyOf("anything"))).toBe(1);
    const longest = "x".repeat(64);
    const others = new Prefixes(plan(1));
    others.add(Buffer.from(longest), 0);
    expect([others.watchersOf(keyOf(longest)), others.watchersOf(keyOf(longest.slice(1)))]).toEqual([1, 0]);
  });

  test("two overlap when there can be a key with both", () => {
    const overlaps = (a: string, b: string) => overlap(Buffer.from(a), Buffer.from(b));
    expect([overlaps("", "a"), overlaps("ab", "a"), overlaps("a", "ab"), overlaps("a", "b")]).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});

describe("leases", () => {
  const deaths = [0, 0];
  const setup = () => {
    const ended: string[] = [];
    const leases = new Leases(plan(2), 0, { deathsOf: (worker) => deaths[worker]! }, (hash, waiters) =>
      ended.push(`${hash} ${waiters}`),
    );
    let token = 100;
    const ask = (key: string, now: number, more: Partial<LeaseAsk> = {}) => {
      const asked = Object.assign(new LeaseAsk(), { leaseMs: 1000, holder: 0, ...more });
      const outcome = leases.ask(keyOf(key), asked, ++token, now);
      leases.invariants();
      return { outcome, ...asked };
    };
    return { leases, ended, ask };
  };

  test("one holds it, the others wait, and who waits is told of its end", () => {
    const { leases, ended, ask } = setup();
    const { token, ...first } = ask("k", 0);
    expect(first).toMatchObject({ outcome: LeaseOutcome.LEASED, leftMs: 1000 });
    expect(ask("k", 300, { holder: 1 })).toMatchObject({ outcome: LeaseOutcome.PENDING, leftMs: 700 });
    expect(ask("k", 400, { waiter: 1 }).outcome).toBe(LeaseOutcome.PENDING);
    expect([leases.isHeld(keyOf("k"), token, 999), leases.isHeld(keyOf("k"), token, 1000)]).toEqual([
      true,
      false,
    ]);
    expect(ended).toEqual([`${keyOf("k").hash} ${bitOf(1)}`]);
  });

  test("its end by a write is told to those who wait, and to nobody where nobody does", () => {
    const { leases, ended, ask } = setup();
    ask("k", 0);
    leases.end(keyOf("k"));
    expect([leases.count, ended]).toEqual([0, []]);
    ask("k", 0);
    ask("k", 0, { waiter: 0 });
    leases.end(keyOf("other"));
    expect(leases.count).toBe(1);
    leases.end(keyOf("k"));
    expect([leases.count, ended.length]).toEqual([0, 1]);
  });

  test("it ends with its holder's worker", () => {
    const { leases, ask } = setup();
    const { token } = ask("k", 0, { holder: 1 });
    expect(leases.isHeld(keyOf("k"), token, 1)).toBe(true);
    deaths[1]!++;
    expect(leases.isHeld(keyOf("k"), token, 1)).toBe(false);
    expect(ask("k", 1).outcome).toBe(LeaseOutcome.LEASED);
  });

  test("a full table has room again when time has passed", () => {
    const { leases, ask } = setup();
    for (let i = 0; i < LEASES_MAX; i++) expect(ask(`k${i}`, 0).outcome).toBe(LeaseOutcome.LEASED);
    expect(ask("more", 0).outcome).toBe(LeaseOutcome.FULL);
    expect(ask("more", 1000).outcome).toBe(LeaseOutcome.LEASED);
    expect(leases.count).toBe(1);
  });

  test("a cleared prefix ends those under it and no others, as far as keys are kept", () => {
    const { leases, ask } = setup();
    const long = `long:${"x".repeat(200)}`;
    for (const key of ["user:1", "user:2", "use", "other", long, `${long}y`]) ask(key, 0);
    leases.endAll(Buffer.from("user:"));
    expect(leases.count).toBe(4);
    leases.endAll(Buffer.from(long));
    expect(leases.count).toBe(2);
    leases.endAll(Buffer.alloc(0));
    expect(leases.count).toBe(0);
  });

  test("random leases, ends and times against a map", () => {
    const random = new Random(5);
    const { leases, ask } = setup();
    const out = new Map<string, { token: number; until: number }>();
    for (let now = 0; now < 5000; now += random.below(3)) {
      const key = `k${random.below(40)}`;
      const lease = out.get(key);
      const isLive = lease !== undefined && lease.until > now;
      if (random.below(3) === 0) {
        leases.end(keyOf(key));
        out.delete(key);
      } else {
        const { outcome, token, leftMs } = ask(key, now, { leaseMs: 1 + random.below(200) });
        expect(outcome).toBe(isLive ? LeaseOutcome.PENDING : LeaseOutcome.LEASED);
        if (isLive) expect(leftMs).toBe(lease.until - now);
        else out.set(key, { token, until: now + leftMs });
      }
      for (const [each, { token, until }] of out)
        expect(leases.isHeld(keyOf(each), token, now)).toBe(until > now);
    }
  });
});
