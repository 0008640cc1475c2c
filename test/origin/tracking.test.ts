/** One tracking connection against a master that is played by hand: what proves what, in which order, and how it ends. */
import { describe, expect, test } from "bun:test";
import { slotOf } from "../../src/origin/slots";
import { type Beat, Tracking, type TrackingSettings } from "../../src/origin/tracking";
import { FakeNetwork, FakeTime, helloAnswer, nodesText } from "./fake-master";

const ADDRESS = "10.0.0.1:7001";
const NODES = nodesText(ADDRESS, [
  { address: ADDRESS, slots: "0-5460" },
  { address: "10.0.0.2:7002", slots: "5461-16383" },
  { address: "10.0.0.3:7003", flags: "slave" },
]);

function setup(settings: Partial<TrackingSettings> = {}) {
  const time = new FakeTime();
  const network = new FakeNetwork();
  const heard: string[] = [];
  const beats: Beat[] = [];
  const tracking = new Tracking(
    ADDRESS,
    { namespace: "bb:", maxAgeMs: 1000, ...settings },
    { connect: network.connect, timing: time },
    {
      changed: (key) => heard.push(Buffer.from(key).toString()),
      changedAll: () => heard.push("all"),
      answered: (beat) => beats.push(beat),
      lost: (reason, isLate) => heard.push(`${isLate ? "late" : "lost"}: ${reason}`),
    },
  );
  const master = network.to(ADDRESS);
  /** Greets, and answers the first two beats. */
  const beating = () => {
    master.greet();
    master.answer(NODES);
    time.pass(0);
    master.answer(NODES);
  };
  return { time, heard, beats, tracking, master, beating };
}

test("signs in, asks for broadcasts of its namespace, and then beats", () => {
  const { master } = setup({ user: "breadbox", password: "secret" });
  master.open();
  expect(master.take()).toEqual([
    ["HELLO", "3", "AUTH", "breadbox", "secret", "SETNAME", "breadbox"],
    ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "bb:"],
  ]);
  master.send(helloAnswer("cluster"));
  expect(master.take()).toEqual([]);
  master.send("+OK\r\n");
  expect(master.take()).toEqual([["CLUSTER", "NODES"]]);
});

test("asks for a key in one of the master's slots as soon as it knows one", () => {
  const { master, beats, time } = setup();
  master.greet();
  master.answer(NODES);
  expect(beats[0]).toMatchObject({
    provenAt: null,
    view: { isMaster: true, epoch: 1, masters: [ADDRESS, "10.0.0.2:7002"] },
  });
  expect(beats[0]!.view.slots.length).toBe(5461);
  time.pass(0);
  const [nodes, exists] = master.take();
  expect([nodes, exists![0]]).toEqual([["CLUSTER", "NODES"], "EXISTS"]);
  const key = Buffer.from(exists![1]!);
  expect(key.toString()).toStartWith("bb:{");
  expect(slotOf(key, 0, key.length)).toBeLessThanOrEqual(5460);
});

test("an answer proves what was before the sending of the beat before, so one that overtakes an invalidation proves no change of its turn", () => {
  const { master, beats, time, heard, beating } = setup();
  beating();
  const sent = time.now();
  expect(beats.at(-1)!.provenAt).toBe(sent);
  time.pass(250);
  // The master executes a SET here, and the beat in the same turn: the answer comes first.
  master.answer(NODES);
  expect([beats.at(-1)!.provenAt, heard]).toEqual([sent, []]);
  master.invalidate("bb:a", "bb:b");
  expect(heard).toEqual(["bb:a", "bb:b"]);
  time.pass(250);
  master.answer(NODES);
  expect(beats.at(-1)!.provenAt).toBe(sent + 250);
});

test("the next beat waits for the answer, however long that takes", () => {
  const { master, beats, time, beating } = setup();
  beating();
  time.pass(250);
  expect(master.commands.length).toBe(2);
  time.pass(700);
  expect(master.commands.length).toBe(2);
  master.answer(NODES);
  time.pass(0);
  expect(master.commands.length).toBe(2);
  master.answer(NODES);
  expect(beats.at(-1)!.provenAt).toBe(time.now() - 700);
});

test("beats come at least 20 ms apart, whatever the maximum age", () => {
  const { time, beating } = setup({ maxAgeMs: 40 });
  beating();
  expect(time.dues).toEqual([20]);
});

describe("the answer to EXISTS", () => {
  const answers: [string, boolean][] = [
    [":1\r\n", true],
    ["-ASK 7 10.0.0.2:7002\r\n", true],
    ["-MOVED 7 10.0.0.2:7002\r\n", false],
    ["-CLUSTERDOWN The cluster is down\r\n", false],
    ["-LOADING in memory\r\n", false],
  ];
  for (const [answer, isProof] of answers)
    test(`${JSON.stringify(answer)} ${isProof ? "proves" : "does not prove"}`, () => {
      const { master, beats, time, beating } = setup();
      beating();
      time.pass(250);
      const probe = master.commands[1]![1];
      master.answer(NODES, answer);
      expect(beats.at(-1)!.provenAt !== null).toBe(isProof);
      time.pass(250);
      // After ASK another slot is asked, else the same key.
      expect(master.commands[1]![1] === probe).toBe(!answer.startsWith("-ASK"));
    });
});

describe("a view", () => {
  const viewWith = (slots: string, flags = "master") => {
    const { master, beats } = setup();
    master.greet();
    master.answer(nodesText(ADDRESS, [{ address: ADDRESS, slots, flags, epoch: 9 }]));
    return beats[0]!.view;
  };

  test("leaves out slots on their way to another node, and those that are on their way here", () => {
    expect([...viewWith("0-2 7 9 [1->-id] [8-<-id]").slots]).toEqual([0, 2, 7, 9]);
  });

  test("of a replica has no slots", () => {
    expect(viewWith("", "slave")).toMatchObject({ isMaster: false, slots: new Uint16Array(0), masters: [] });
  });

  test("names a node that does not know its IP by the host that it was reached at", () => {
    const { master, beats } = setup();
    master.greet();
    master.answer("id :7001@1 myself,master - 0 0 0 connected 0-16383\n");
    expect(beats[0]!.view.masters).toEqual([ADDRESS]);
  });
});

test("a single server owns all slots while it is a master", () => {
  const { master, beats, time } = setup();
  master.greet("standalone");
  master.take();
  master.send(helloAnswer("standalone"));
  expect(beats[0]!.view).toMatchObject({ isMaster: true, masters: [ADDRESS] });
  expect(beats[0]!.view.slots.length).toBe(16_384);
  time.pass(0);
  expect(master.take().map(([name]) => name)).toEqual(["HELLO", "EXISTS"]);
  master.send(`${helloAnswer("standalone", "replica")}:0\r\n`);
  expect(beats[1]!.view).toMatchObject({ isMaster: false, masters: [] });
});

test("FLUSHALL is told as a change of all", () => {
  const { master, heard, beating } = setup();
  beating();
  master.invalidateAll();
  expect(heard).toEqual(["all"]);
});

describe("ends", () => {
  const MASTER_ENDS: [string, (master: ReturnType<typeof setup>["master"]) => void, string][] = [
    ["when the master ends it", (master) => master.end("reset by peer"), "lost: reset by peer"],
    ["when what comes is no RESP3", (master) => master.send("HTTP/1.1 400\r\n"), "lost: a value begins with"],
    ["at an answer to nothing", (master) => master.send(":1\r\n:2\r\n:3\r\n"), "lost: an answer"],
    ["when CLUSTER NODES is refused", (master) => master.send("-NOPERM no\r\n:1\r\n"), "lost: NOPERM no"],
  ];
  for (const [name, act, reason] of MASTER_ENDS)
    test(name, () => {
      const { master, heard, time, tracking, beating } = setup();
      beating();
      time.pass(250);
      act(master);
      expect(heard.length).toBe(1);
      expect(heard[0]).toStartWith(reason);
      tracking.invariants();
      time.pass(10_000);
      expect([heard.length, time.dues]).toEqual([1, []]);
    });

  test("when the greeting is refused, with the server's words", () => {
    const { master, heard } = setup();
    master.open();
    master.send("-WRONGPASS invalid\r\n+OK\r\n");
    expect(heard).toEqual(["lost: HELLO: WRONGPASS invalid"]);
    expect(master.isClosed).toBe(true);
  });

  test("when an answer does not come within the maximum age", () => {
    const { heard, time, beating } = setup();
    beating();
    time.pass(250 + 999);
    expect(heard).toEqual([]);
    time.pass(1);
    expect(heard).toEqual(["late: no answer within 1000 ms (beat)"]);
  });

  test("when it cannot connect in time", () => {
    const { heard, time } = setup();
    time.pass(1000);
    expect(heard).toEqual(["late: no answer within 1000 ms (connect)"]);
  });

  test("not when our own event loop was late and the answer lies there to be read", () => {
    const { master, heard, beats, time, beating } = setup();
    beating();
    time.pass(250);
    const count = beats.length;
    time.stall(5000);
    expect(heard).toEqual([]);
    master.answer(NODES);
    expect(beats.length).toBe(count + 1);
    time.pass(0);
    time.stall(5000);
    time.pass(250);
    expect(heard.length).toBe(1);
  });

  test("silently when it is closed", () => {
    const { master, heard, time, tracking, beating } = setup();
    beating();
    tracking.close();
    expect([master.isClosed, time.dues]).toEqual([true, []]);
    master.invalidate("bb:a");
    expect(heard).toEqual([]);
  });
});

test("an address without a port is refused", () => {
  const { connect } = new FakeNetwork();
  const listener = { changed() {}, changedAll() {}, answered() {}, lost() {} };
  for (const address of ["host", "host:0", ":7001", "host:65536"])
    expect(
      () =>
        new Tracking(
          address,
          { namespace: "bb:", maxAgeMs: 1000 },
          { connect, timing: new FakeTime() },
          listener,
        ),
    ).toThrow("is no address");
});
