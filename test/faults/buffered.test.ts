/** Many clients that do not read, together: beyond --max-buffered those that hold most are ended, the others get all. */
import { expect, test } from "bun:test";
import { request } from "../support/frames";
import { RawSocket } from "../support/raw-socket";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const VALUE = Buffer.alloc(7 << 20, 7);
const GET = request({ op: 1, key: "big" });

test("what all connections hold together is bounded", async () => {
  const server = await startServer({
    flags: ["--workers", "1", "--max-buffered", "20mb", "--client-timeout", "8s"],
  });
  const other = await WireClient.connect(server.ws);
  await other.ask(request({ op: 2, key: "big", value: VALUE }));
  const cut = async () => {
    const [stats] = await other.ask(request({ op: 11 }));
    if (stats?.status !== "VALUE") throw new Error("no stats");
    return (JSON.parse(stats.value.toString()) as { connectionsCut: number }).connectionsCut;
  };
  const stuck: RawSocket[] = [];
  // One after the other, none of which reads, until they are too many together.
  while ((await cut()) === 0 && stuck.length < 100) {
    const raw = await RawSocket.connect(server.port);
    await raw.send(Buffer.concat([GET, GET, GET]));
    stuck.push(raw);
  }
  expect(stuck.length).toBeGreaterThan(2);
  expect(stuck.length).toBeLessThan(100);
  expect(await other.ask(request({ op: 7, key: "big" }))).toMatchObject([{ length: VALUE.length }]);
  // Those that were not ended get all three values; the others see the end of their connection.
  let whole = 0;
  await Promise.all(
    stuck.map(async (raw) => {
      let bytes = 0;
      const got = new Promise<void>((resolve) =>
        raw.read((payload) => {
          bytes += payload.length;
          if (bytes === 3 * (5 + VALUE.length)) resolve();
        }),
      );
      await Promise.race([got, raw.closed]);
      if (bytes === 3 * (5 + VALUE.length)) whole++;
      raw.destroy();
    }),
  );
  expect(whole).toBeGreaterThan(0);
  expect(whole).toBe(stuck.length - (await cut()));
  other.close();
  expect(await server.stop()).toBe(0);
});

test("a value larger than the default of --max-buffered is stored: the default adapts", async () => {
  const server = await startServer({
    flags: ["--workers", "1", "--memory", "1200mb", "--max-value", "270mb", "--client-timeout", "8s"],
  });
  const body = Buffer.alloc(270 << 20);
  expect((await fetch(`${server.http}/kv/large`, { method: "PUT", body })).status).toBe(204);
  const head = await fetch(`${server.http}/kv/large`, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe(String(body.length));
  expect(await server.stop()).toBe(0);
});
