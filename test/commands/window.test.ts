/** The window of requests that were looked at together is open during a run and never after it, whatever ends the run. */
import { expect, test } from "bun:test";
import { ANYBODY } from "../../src/commands/access";
import { type BinaryCommands, Run } from "../../src/commands/binary";
import { Message } from "../../src/protocol/request";
import { request } from "../support/frames";
import { LIMITS, smallWorker } from "../support/small-session";
import { SmallStore } from "../support/small-store";

const get = (key: string) => request({ op: 1, key });

function worker() {
  const store = new SmallStore({ shardBytes: 4 << 20 });
  store.put("large", Buffer.alloc(300_000));
  const parts = smallWorker({ ...LIMITS, valueBytesMax: 1 << 20 }, store);
  const run = (bytes: Buffer, workMax: number, binary: BinaryCommands = parts.binary()) => {
    const message = new Message(parts.intake);
    message.open(bytes);
    return { end: binary.run(message, workMax), at: message.at };
  };
  return { ...parts, run };
}

const ENDS: [name: string, end: Run, requests: Buffer[], workMax: number][] = [
  ["the message's end", Run.DONE, [get("a"), get("b")], Infinity],
  ["a malformed request", Run.MALFORMED, [get("a"), Buffer.from([1])], Infinity],
  ["replies that have to be sent", Run.REPLIES_FULL, [get("large"), get("a"), get("b")], Infinity],
  ["the turn's end", Run.TURN_OVER, [get("a"), get("b"), get("c")], 2],
  ["a request that goes on later", Run.TURN_OVER, [request({ op: 9, key: "l" }), get("a")], Infinity],
];

for (const [name, end, requests, workMax] of ENDS)
  test(`${name} closes it`, () => {
    const { commands, reply, run } = worker();
    expect(run(Buffer.concat(requests), workMax).end).toBe(end);
    expect(() => commands.keyAhead(0)).toThrow("was not looked at");
    expect(() => commands.getAhead(ANYBODY, 0, reply)).toThrow("was not looked at");
  });

test("a fault of ours closes it", () => {
  const { commands, reply, run } = worker();
  reply.status = () => {
    throw new Error("a fault");
  };
  expect(() => run(Buffer.concat([get("a"), get("b")]), Infinity)).toThrow("a fault");
  expect(() => commands.keyAhead(0)).toThrow("was not looked at");
});

test("a run goes on where the one before ended, however often it has to", () => {
  const { binary, intake, reply } = worker();
  const requests = Array.from({ length: 200 }, (_, i) => request({ op: 10, value: Buffer.from([i]) }));
  const message = new Message(intake);
  message.open(Buffer.concat(requests));
  const runner = binary();
  let runs = 1;
  for (; runner.run(message, 3) !== Run.DONE; runs++) expect(runner.work).toBe(3);
  expect(runs).toBe(67);
  const values = Array.from({ length: 200 }, (_, i) => reply.bytes[i * 6 + 5]);
  expect(values).toEqual(Array.from({ length: 200 }, (_, i) => i));
});
