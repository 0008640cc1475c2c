/** Sessions of one worker share the buffer that small messages are read from, and what was looked at ahead. */
import { expect, test } from "bun:test";
import { ANYBODY } from "../../src/commands/access";
import { BinaryCommands } from "../../src/commands/binary";
import { Commands } from "../../src/commands/commands";
import { JsonCommands } from "../../src/commands/json";
import { createTallyMemory, Tally } from "../../src/commands/tally";
import { Intake } from "../../src/protocol/request";
import { ReplyWriter } from "../../src/protocol/reply";
import { createStoreMemory, Store } from "../../src/store/store";
import { Session, type Socket } from "../../src/ws/session";
import { Turn } from "../../src/ws/turn";
import { type Reply, replies, request } from "../support/frames";

const LIMITS = {
  keyBytesMax: 1024,
  valueBytesMax: 1 << 20,
  messageBytesMax: 1 << 24,
  batchRequestsMax: 1000,
};
const FACTS = { version: "0", workers: 1, connectionsMax: 1, startedAt: 0 };
const [GET, PUT, TOUCH, CLEAR] = [1, 2, 4, 9];

function rethrow(error: unknown): never {
  throw error;
}

/** One worker's parts, and sessions on them; what each sent is in `got`. */
function worker() {
  const memory = createStoreMemory({ shards: 8, shardBytes: 1 << 20, seed: [1, 2], firstVersion: 0 });
  const tally = new Tally(createTallyMemory(1), 0);
  const commands = new Commands(new Store(memory, 1), LIMITS, tally, () => 1, FACTS);
  const reply = new ReplyWriter(1 << 16);
  const intake = new Intake();
  const turn = new Turn();
  return () => {
    const got: Reply[] = [];
    let full = false;
    const session = new Session(
      ANYBODY,
      commands,
      new BinaryCommands(commands, reply, ANYBODY, rethrow),
      new JsonCommands(commands, ANYBODY, rethrow),
      reply,
      intake,
      turn,
      rethrow,
    );
    const socket: Socket = {
      sendBinary(data) {
        got.push(...replies(Buffer.from(data)));
        return full ? -1 : data.length;
      },
      sendText: (data) => data.length,
      getBufferedAmount: () => 0,
      ping() {},
      pause() {},
      resume() {},
      close() {},
      terminate() {},
    };
    session.open(socket);
    return { session, got, setFull: (isFull: boolean) => void (full = isFull) };
  };
}

const put = (key: string, value: string) => request({ op: PUT, key, value: Buffer.from(value) });
const get = (key: string) => request({ op: GET, key });
const value = (text: string): Reply => ({ status: "VALUE", value: Buffer.from(text) });
const OK: Reply = { status: "OK" };
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("a message that takes several turns is not mixed up with those that others send meanwhile", async () => {
  const connect = worker();
  const [one, other] = [connect(), connect()];
  one.session.receive(Buffer.concat([put("a1", "first"), put("b1", "second")]));
  other.session.receive(Buffer.concat([put("a2", "third"), put("b2", "fourth")]));
  expect([...one.got.splice(0), ...other.got.splice(0)]).toEqual([OK, OK, OK, OK]);

  // Clearing takes a step for each shard, and each step a turn.
  const clear = request({ op: CLEAR, key: "nothing-has-this-prefix" });
  one.session.receive(Buffer.concat([get("a1"), clear, get("b1"), get("a1")]));
  expect(one.got).toEqual([value("first")]);
  while (one.got.length < 4) {
    other.session.receive(
      Buffer.concat([get("a2"), put("nothing-has-this-prefiX", "x"), get("b2"), get("a2")]),
    );
    expect(other.got.splice(0)).toEqual([value("third"), OK, value("fourth"), value("third")]);
    await nextTurn();
  }
  expect(one.got).toEqual([
    value("first"),
    { status: "NUMBER", number: 0n },
    value("second"),
    value("first"),
  ]);
});

test("nor is one whose client does not read", () => {
  const connect = worker();
  const [one, other] = [connect(), connect()];
  const large = "x".repeat(300_000);
  one.session.receive(Buffer.concat([put("a1", large), put("b1", "second")]));
  other.session.receive(put("b2", "fourth"));
  one.got.length = other.got.length = 0;

  one.setFull(true);
  one.session.receive(Buffer.concat([get("a1"), get("b1")]));
  expect(one.got).toEqual([value(large)]);
  other.session.receive(Buffer.concat([get("b2"), get("b2")]));
  expect(other.got).toEqual([value("fourth"), value("fourth")]);
  one.setFull(false);
  one.session.drained();
  expect(one.got).toEqual([value(large), value("second")]);
});

test("a request whose key lies where a batch's unused one lay is for its own key", async () => {
  const { session, got } = worker()();
  session.receive(put("b1", "first"));
  // The prefix is looked at ahead like a key, at bytes 12 and 13, and is no key that is asked for.
  session.receive(Buffer.concat([get("four"), request({ op: CLEAR, key: "zz" })]));
  while (got.length < 3) await nextTurn();
  got.length = 0;
  session.receive(request({ op: TOUCH, key: "b1", ttlMs: 60_000n }));
  expect(got).toEqual([OK]);
});
