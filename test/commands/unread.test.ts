/** A WebSocket client that stops in the middle of a batch, since it does not read, changes nothing for anybody else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { request } from "../support/frames";
import { RawSocket } from "../support/raw-socket";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

/** More than the kernel holds for a client that does not read. */
const LARGE_VALUE_BYTES = 8 << 20;
const LARGE_GETS = 5;
/** `GET /get?key=` and a get of "large" are as long as each other, so that keys behind them lie at the same place. */
const KEYS = Array.from({ length: 50 }, (_, i) => `k${i + 10}`);

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ flags: ["--workers", "1"] });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain("error");
});

const get = (key: string) => request({ op: 1, key });

async function getsCounted(): Promise<number> {
  return ((await (await fetch(`${server.http}/stats`)).json()) as any).commands.get;
}

/** The same keys over HTTP, as often as they are: present, with the value that was put last. */
async function expectAll(valueOf: (key: string) => string): Promise<void> {
  const answers = await Promise.all(
    KEYS.map(async (key) => {
      const answer = await fetch(`${server.http}/get?key=${key}`);
      return [key, answer.status, ((await answer.json()) as { value?: string }).value];
    }),
  );
  expect(answers).toEqual(KEYS.map((key) => [key, 200, valueOf(key)]));
}

test("unread gets of other keys do not change what requests over HTTP find and store", async () => {
  const writer = await WireClient.connect(server.ws);
  await writer.ask(
    request({ op: 2, key: "large", value: Buffer.alloc(LARGE_VALUE_BYTES) }),
    ...KEYS.map((key) => request({ op: 2, key, value: Buffer.from(`first of ${key}`) })),
  );
  await expectAll((key) => `first of ${key}`);
  const stoppedBefore = await getsCounted();
  const unread = await RawSocket.connect(server.port);
  const gets = [get("large"), get("zz9"), ...Array.from({ length: LARGE_GETS }, () => get("large"))];
  await unread.send(Buffer.concat(gets));
  while ((await getsCounted()) === stoppedBefore);

  await expectAll((key) => `first of ${key}`);
  for (const key of KEYS)
    await fetch(`${server.http}/put`, { method: "POST", body: JSON.stringify({ key, value: `now ${key}` }) });
  await expectAll((key) => `now ${key}`);
  const replies = await writer.ask(...KEYS.map(get));
  expect(replies).toEqual(KEYS.map((key) => ({ status: "VALUE", value: Buffer.from(`now ${key}`) })));

  unread.destroy();
  await unread.closed;
  // Evicting what was stored meanwhile ends no entry that has no slot.
  const filler = Buffer.alloc(100_000);
  for (let i = 0; i < 1000; i++) await writer.ask(request({ op: 2, key: `filler ${i}`, value: filler }));
  const stats = (await (await fetch(`${server.http}/stats`)).json()) as any;
  expect(stats.evictions).toBeGreaterThan(0);
  expect(stats.entriesLost).toBe(0);
  writer.close();
});
