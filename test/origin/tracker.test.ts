/** The tracker against masters that are played by hand: who is tracked, which slots are trusted, and when they cease to be. */
import { describe, expect, test } from "bun:test";
import { SLOTS, slotOf } from "../../src/origin/slots";
import { RETRY_MS_MAX, RETRY_MS_MIN, Tracker } from "../../src/origin/tracker";
import { createTrustMemory, isTrusted, Trust } from "../../src/origin/trust";
import { type FakeNode, FakeNetwork, FakeTime, helloAnswer, nodesText } from "./fake-master";

const A = "10.0.0.1:7001";
const B = "10.0.0.2:7002";
const C = "10.0.0.3:7003";
const MAX_AGE_MS = 1000;
const BEAT_MS = 250;
/** A has the lower half. */
const HALVES: FakeNode[] = [
  { address: A, slots: "0-8191" },
  { address: B, slots: "8192-16383", epoch: 2 },
];

class Setup {
  readonly time = new FakeTime();
  readonly network = new FakeNetwork();
  readonly memory = createTrustMemory(this.time.time);
  readonly trust = new Trust(this.memory, MAX_AGE_MS);
  readonly changed: string[] = [];
  readonly lines: string[] = [];
  isBusy = false;
  /** Times that who watches had to be told. */
  missed = 0;
  tracker: Tracker;

  constructor(readonly seeds: readonly string[] = [A, B]) {
    this.tracker = this.newTracker();
  }

  newTracker(): Tracker {
    const hear = (what: string) => {
      if (this.isBusy) throw new Error("the shard stays locked");
      this.changed.push(what);
    };
    return new Tracker(
      { seeds: this.seeds, namespace: "bb:", maxAgeMs: MAX_AGE_MS },
      {
        trust: this.trust,
        sink: {
          changed: (key) => hear(Buffer.from(key).toString()),
          changedAll: () => hear("all"),
          missed: () => void this.missed++,
        },
        connect: this.network.connect,
        timing: this.time,
        random: () => 1,
        tell: (level, text) => this.lines.push(`${level} ${text}`),
      },
    );
  }

  /** The seed says who the masters are; each of them is greeted, and answers two beats. */
  begin(nodes: readonly FakeNode[] = HALVES): this {
    const seed = this.network.to(this.seeds[0]!);
    seed.greet();
    seed.answer(nodesText(seed.address, nodes));
    for (const { address, slots } of nodes) if (slots !== undefined) this.connect(address, nodes);
    this.check();
    return this;
  }

  /** A new connection to the master, until it is proven. */
  connect(address: string, nodes: readonly FakeNode[] = HALVES): void {
    this.network.to(address).greet();
    this.answer(address, nodes);
    this.time.pass(0);
    this.answer(address, nodes);
  }

  answer(address: string, nodes: readonly FakeNode[] = HALVES, exists?: string): void {
    this.network.to(address).answer(nodesText(address, nodes), exists);
    this.check();
  }

  /** One beat of each of these, a quarter of the maximum age later. */
  beat(nodes: readonly FakeNode[] = HALVES, addresses: readonly string[] = [A, B]): void {
    this.time.pass(BEAT_MS);
    for (const address of addresses) this.answer(address, nodes);
  }

  check(): void {
    this.tracker.invariants();
    this.trust.invariants();
  }

  isHeld(slot: number): boolean {
    return this.trust.holds(slot, this.trust.epochOf(slot), this.time.time);
  }

  /** How many of all slots are trusted. */
  get trusted(): number {
    let count = 0;
    for (let slot = 0; slot < SLOTS; slot++) if (isTrusted(this.trust.epochOf(slot))) count++;
    return count;
  }
}

describe("beginning", () => {
  test("a seed names the masters, and each is trusted for its own slots", () => {
    const setup = new Setup().begin();
    expect(setup.tracker.addresses).toEqual([A, B]);
    expect([setup.trusted, setup.trust.ownerOf(0) === setup.trust.ownerOf(8191)]).toEqual([SLOTS, true]);
    expect(setup.trust.ownerOf(8192)).not.toBe(setup.trust.ownerOf(0));
    expect(setup.lines).toEqual([
      `info origin: tracks the master ${A}; its 8192 slots are served from memory`,
      `info origin: tracks the master ${B}; its 8192 slots are served from memory`,
    ]);
    expect(setup.tracker.counts).toMatchObject({
      connections: 2,
      beatsLate: 0,
      reconnects: 0,
      epochsRaised: 0,
    });
  });

  test("nothing is trusted before the answer to a beat that names a key", () => {
    const setup = new Setup();
    const seed = setup.network.to(A);
    seed.greet();
    seed.answer(nodesText(A, HALVES));
    setup.network.to(A).greet();
    setup.answer(A);
    expect(setup.trusted).toBe(0);
    setup.time.pass(0);
    setup.answer(A, HALVES, "-CLUSTERDOWN The cluster is down\r\n");
    expect(setup.trusted).toBe(0);
    setup.time.pass(BEAT_MS);
    setup.answer(A);
    expect(setup.trusted).toBe(8192);
  });

  test("the seeds are asked in turn; that none answers is told once", () => {
    const setup = new Setup([A, B, C]);
    for (let round = 0; round < 3; round++)
      for (const address of [A, B, C]) {
        setup.network.to(address).end("refused");
        setup.time.pass(setup.time.dues[0]!);
      }
    expect(setup.network.connections.map(({ address }) => address)).toEqual([A, B, C, A, B, C, A, B, C, A]);
    expect(setup.lines).toEqual([`warn origin: none of its addresses answers; ${C}: refused`]);
    setup.begin();
    expect(setup.trusted).toBe(SLOTS);
  });

  test("a seed that is a replica names the masters, too, and is no connection any more then", () => {
    const setup = new Setup([C]);
    const seed = setup.network.to(C);
    seed.greet();
    seed.answer(nodesText(C, [...HALVES, { address: C, flags: "slave" }]));
    expect([setup.tracker.addresses, seed.isClosed]).toEqual([[A, B], true]);
  });

  test("a single server owns all slots", () => {
    const setup = new Setup([A]);
    const seed = setup.network.to(A);
    seed.greet("standalone");
    seed.send(helloAnswer("standalone"));
    const master = setup.network.to(A);
    expect(master).not.toBe(seed);
    master.greet("standalone");
    master.take();
    master.send(helloAnswer("standalone"));
    setup.time.pass(0);
    master.send(`${helloAnswer("standalone")}:0\r\n`);
    setup.check();
    expect(setup.trusted).toBe(SLOTS);
  });

  test("what an earlier tracker trusted is not trusted, with a table that is left as it was", () => {
    const setup = new Setup().begin();
    const epoch = setup.trust.epochOf(5);
    setup.tracker = setup.newTracker();
    expect([setup.trusted, setup.trust.holds(5, epoch, setup.time.time)]).toEqual([0, false]);
    setup.begin();
    expect([setup.trusted, setup.trust.epochOf(5)]).toEqual([SLOTS, epoch + 2]);
  });

  test("settings of no use are refused", () => {
    expect(() => new Setup([])).toThrow("at least one address");
    const { trust, network, time } = new Setup();
    const means = { trust, connect: network.connect, timing: time, random: () => 0, tell: () => {} };
    const sink = { changed() {}, changedAll() {}, missed() {} };
    expect(() => new Tracker({ seeds: [A], namespace: "{b}:", maxAgeMs: 1000 }, { ...means, sink })).toThrow(
      "{",
    );
  });
});

test("who watches is told when a master is tracked anew, since nobody told of what changed before, and when it is lost", () => {
  const setup = new Setup().begin();
  // Once for what the tracker before this one did not tell any more.
  expect(setup.missed).toBe(3);
  setup.network.to(A).end("reset");
  expect(setup.missed).toBe(4);
  setup.time.pass(RETRY_MS_MIN);
  setup.connect(A);
  expect(setup.missed).toBe(5);
  setup.beat();
  expect(setup.missed).toBe(5);
});

test("who watches is told when slots are not claimed any more, since their next owner may not be tracked yet", () => {
  const setup = new Setup().begin();
  const before = setup.missed;
  setup.beat([{ address: A, slots: "0-8190" }, HALVES[1]!]);
  expect(setup.missed).toBe(before + 1);
  setup.beat([{ address: A, slots: "0-8190" }, HALVES[1]!]);
  expect(setup.missed).toBe(before + 1);
});

describe("proof", () => {
  test("ends with the beats, for the slots of the silent master only", () => {
    const setup = new Setup().begin();
    for (let beats = 0; beats < 3; beats++) setup.beat(HALVES, [B]);
    expect([setup.isHeld(0), setup.isHeld(8192)]).toEqual([true, true]);
    setup.beat(HALVES, [B]);
    setup.time.pass(1);
    expect([setup.isHeld(0), setup.isHeld(8192)]).toEqual([false, true]);
  });

  test("CLUSTERDOWN makes copies unproven and does not void them", () => {
    const setup = new Setup().begin();
    const epoch = setup.trust.epochOf(0);
    for (let beats = 0; beats < 6; beats++) {
      setup.time.pass(BEAT_MS);
      setup.answer(A, HALVES, "-CLUSTERDOWN The cluster is down\r\n");
      setup.answer(B);
    }
    expect([setup.isHeld(0), setup.isHeld(8192), setup.trust.epochOf(0)]).toEqual([false, true, epoch]);
    setup.beat();
    setup.beat();
    expect(setup.isHeld(0)).toBe(true);
    expect(setup.lines.slice(2)).toEqual([
      `warn origin: the master ${A} does not serve its slots; they are not served from memory until it does`,
      `info origin: tracks the master ${A}; its 8192 slots are served from memory`,
    ]);
  });

  test("a late answer ends the connection and voids what its master owns", () => {
    const setup = new Setup().begin();
    for (let beats = 0; beats < 5; beats++) setup.beat(HALVES, [B]);
    expect([setup.trusted, setup.network.to(A).isClosed]).toEqual([8192, true]);
    expect(setup.tracker.counts).toMatchObject({ connections: 1, beatsLate: 1, epochsRaised: 8192 });
    expect(setup.lines.at(-1)).toBe(
      `warn origin: lost the master ${A}: no answer within 1000 ms (beat); its 8192 slots are not served from memory until it is back`,
    );
  });
});

describe("slots that change hands", () => {
  const MOVED: FakeNode[] = [
    { address: A, slots: "0-8190" },
    { address: B, slots: "8191-16383", epoch: 3 },
  ];

  test("are nobody's between the old owner's word and the new one's", () => {
    const setup = new Setup().begin();
    const epoch = setup.trust.epochOf(8191);
    setup.time.pass(BEAT_MS);
    setup.answer(A, MOVED);
    expect([setup.trust.epochOf(8191), setup.trusted]).toEqual([epoch + 1, SLOTS - 1]);
    setup.answer(B, MOVED);
    expect([setup.trusted, setup.trust.ownerOf(8191)]).toEqual([SLOTS, setup.trust.ownerOf(8192)]);
  });

  test("are nobody's while two claim them", () => {
    const setup = new Setup().begin();
    setup.time.pass(BEAT_MS);
    setup.answer(B, MOVED);
    expect(isTrusted(setup.trust.epochOf(8191))).toBe(false);
    setup.answer(A, HALVES);
    expect(isTrusted(setup.trust.epochOf(8191))).toBe(false);
    setup.beat(MOVED);
    setup.beat(MOVED);
    expect([setup.trusted, setup.trust.ownerOf(8191)]).toEqual([SLOTS, setup.trust.ownerOf(8192)]);
  });

  test("all of a master's go up when its epoch in the cluster has changed: one may have been away", () => {
    const setup = new Setup().begin();
    const epochs = [setup.trust.epochOf(0), setup.trust.epochOf(8192)];
    setup.beat([HALVES[0]!, { ...HALVES[1]!, epoch: 7 }]);
    expect([setup.trust.epochOf(0), setup.trust.epochOf(8192)]).toEqual([epochs[0]!, epochs[1]! + 2]);
  });

  test("are nobody's on their way", () => {
    const setup = new Setup().begin();
    setup.beat([{ address: A, slots: "0-8191 [8191->-id]" }, HALVES[1]!]);
    expect([setup.trusted, isTrusted(setup.trust.epochOf(8191))]).toEqual([SLOTS - 1, false]);
    setup.beat();
    expect(setup.trusted).toBe(SLOTS);
  });

  test("that somebody else distrusts are trusted again from the next answer on", () => {
    const setup = new Setup().begin();
    const epoch = setup.trust.epochOf(5);
    setup.trust.distrust(5);
    setup.beat();
    expect(setup.trust.epochOf(5)).toBe(epoch + 2);
  });

  test("go with a master that becomes a replica; its successor is tracked", () => {
    const setup = new Setup().begin();
    const after: FakeNode[] = [
      { address: A, flags: "slave", epoch: 9 },
      HALVES[1]!,
      { address: C, slots: "0-8191", epoch: 9 },
    ];
    setup.beat(after);
    expect([setup.tracker.addresses, setup.network.to(A).isClosed, setup.trusted]).toEqual([
      [B, C],
      true,
      8192,
    ]);
    setup.connect(C, after);
    expect(setup.trusted).toBe(SLOTS);
  });
});

describe("a lost connection", () => {
  test("is tried again, later each time, until it is back", () => {
    const setup = new Setup().begin();
    const delays: number[] = [];
    for (let tries = 0; tries < 8; tries++) {
      const before = setup.network.connections.length;
      setup.network.to(A).end("reset");
      const start = setup.time.time;
      while (setup.network.connections.length === before) {
        setup.time.pass(1);
        const b = setup.network.to(B);
        if (b.commands.length > 0) setup.answer(B);
      }
      delays.push(setup.time.time - start);
    }
    expect(delays).toEqual(
      [0, 1, 2, 3, 4].map((n) => RETRY_MS_MIN * 2 ** n).concat([1600, RETRY_MS_MAX, RETRY_MS_MAX]),
    );
    expect(setup.lines.filter((line) => line.includes("lost"))).toEqual([
      `warn origin: lost the master ${A}: reset; its 8192 slots are not served from memory until it is back`,
    ]);
    setup.connect(A);
    expect([setup.trusted, setup.tracker.counts.reconnects]).toEqual([SLOTS, 8]);
  });

  test("of the last master makes the seeds be asked again, while the masters are tried", () => {
    const setup = new Setup([C]).begin([...HALVES, { address: C, flags: "slave" }]);
    for (const address of [A, B]) setup.network.to(address).end("reset");
    setup.time.pass(RETRY_MS_MIN);
    expect(
      setup.network.connections
        .slice(-3)
        .map(({ address }) => address)
        .sort(),
    ).toEqual([A, B, C]);
    const seed = setup.network.to(C);
    seed.greet();
    seed.answer(nodesText(C, [{ address: C, slots: "0-16383" }]));
    expect(setup.tracker.addresses).toEqual([C]);
    setup.connect(C, [{ address: C, slots: "0-16383" }]);
    expect(setup.trusted).toBe(SLOTS);
  });

  test("none is left when it is stopped, and nothing is trusted", () => {
    const setup = new Setup().begin();
    setup.network.to(B).end("reset");
    setup.tracker.stop();
    setup.check();
    expect([setup.trusted, setup.time.dues, setup.network.to(A).isClosed]).toEqual([0, [], true]);
  });
});

describe("a change", () => {
  test("is handed on, of one key or of all", () => {
    const setup = new Setup().begin();
    setup.network.to(A).invalidate("bb:a", "bb:b");
    setup.network.to(B).invalidateAll();
    expect([setup.changed, setup.tracker.counts.invalidations]).toEqual([["bb:a", "bb:b", "all"], 3]);
  });

  test("that the sink cannot take voids the key's slot, or all", () => {
    const setup = new Setup().begin();
    setup.isBusy = true;
    setup.network.to(A).invalidate("bb:a");
    const key = Buffer.from("bb:a");
    expect([setup.trusted, isTrusted(setup.trust.epochOf(slotOf(key, 0, key.length)))]).toEqual([
      SLOTS - 1,
      false,
    ]);
    setup.network.to(A).invalidateAll();
    expect(setup.trusted).toBe(0);
  });
});
