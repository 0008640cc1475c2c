/** Sessions of one worker share the buffer that small messages are read from, and what was looked at ahead. */
import { expect, test } from "bun:test";
import { type Reply, replies, request } from "../support/frames";
import { LIMITS, NotedSocket, smallWorker } from "../support/small-session";
import { SmallStore } from "../support/small-store";

const [GET, PUT, TOUCH, CLEAR] = [1, 2, 4, 9];

/** Connects to one worker; `got` are the replies that were sent so far, and takes them. */
function worker() {
  const parts = smallWorker(
    { ...LIMITS, valueBytesMax: 1 << 20 },
    new SmallStore({ shards: 8, shardBytes: 2 << 20 }),
  );
  return () => {
    const socket = new NotedSocket();
    const session = parts.open(socket);
    const got = () => socket.sent.splice(0).flatMap((data) => replies(data as Buffer));
    return { session, socket, got };
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
  expect([...one.got(), ...other.got()]).toEqual([OK, OK, OK, OK]);

  // Clearing takes a step for each shard, and each step a turn.
  const clear = request({ op: CLEAR, key: "nothing-has-this-prefix" });
  one.session.receive(Buffer.concat([get("a1"), clear, get("b1"), get("a1")]));
  const answers = one.got();
  expect(answers).toEqual([value("first")]);
  for (; answers.length < 4; answers.push(...one.got())) {
    other.session.receive(
      Buffer.concat([get("a2"), put("nothing-has-this-prefiX", "x"), get("b2"), get("a2")]),
    );
    expect(other.got()).toEqual([value("third"), OK, value("fourth"), value("third")]);
    await nextTurn();
  }
  expect(answers).toEqual([
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
  expect([...one.got(), ...other.got()]).toEqual([OK, OK, OK]);

  one.socket.kernelTakes = false;
  one.session.receive(Buffer.concat([get("a1"), get("b1")]));
  expect(one.got()).toEqual([value(large)]);
  other.session.receive(Buffer.concat([get("b2"), get("b2")]));
  expect(other.got()).toEqual([value("fourth"), value("fourth")]);
  one.socket.kernelTakes = true;
  one.socket.buffered = 0;
  one.session.drained();
  expect(one.got()).toEqual([value("second")]);
});

test("a request whose key lies where a batch's unused one lay is for its own key", async () => {
  const { session, got } = worker()();
  session.receive(put("b1", "first"));
  // The prefix is looked at ahead like a key, at bytes 12 and 13, and is no key that is asked for.
  session.receive(Buffer.concat([get("four"), request({ op: CLEAR, key: "zz" })]));
  for (const answers = got(); answers.length < 3; answers.push(...got())) await nextTurn();
  session.receive(request({ op: TOUCH, key: "b1", ttlMs: 60_000n }));
  expect(got()).toEqual([OK]);
});
