/** SIGTERM under full load at random moments; `bun run faults:drains` does it 20 times. */
import { expect, test } from "bun:test";
import { request } from "../support/frames";
import { NotedSocket, smallWorker } from "../support/small-session";
import { drainUnderLoad } from "./drains";

test("SIGTERM under full load, 5 times: what was sent before is answered, batches whole or not at all", async () => {
  const total = { batches: 0, underWay: 0 };
  for (let seed = 0; seed < 5; seed++) {
    const { batches, underWay } = await drainUnderLoad(seed);
    total.batches += batches;
    total.underWay += underWay;
  }
  expect(total.batches).toBeGreaterThan(50);
  expect(total.underWay).toBeGreaterThan(10);
});

test("a session answers all that it has received, over many turns, before it says goodbye", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  const batch = Buffer.concat(Array.from({ length: 10_000 }, () => request({ op: 4, key: "k" })));
  for (let i = 0; i < 5; i++) session.receive(batch);
  session.receive('{"op":"ping"}');
  session.finish(1001, "the end");
  expect(socket.closed).toBe(null);
  while (socket.closed === null) await new Promise((resolve) => setImmediate(resolve));
  const replies = socket.sent.reduce(
    (sum, message) => sum + (typeof message === "string" ? 0 : message.length),
    0,
  );
  expect(replies).toBe(50_000);
  expect(socket.sent.at(-1)).toBe('{"status":"OK"}');
  expect(socket.closed).toMatchObject({ code: 1001 });
});
