/** More connections than --max-connections: the new ones are refused and told so, the others notice nothing. */
import { expect, test } from "bun:test";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MAX = 8;
const PING = request({ op: 10, value: Buffer.from("on") });
const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test("beyond --max-connections an upgrade is 503, existing connections go on, and a place given up is free", async () => {
  const server = await startServer({ flags: ["--max-connections", String(MAX)] });
  const clients: WireClient[] = [];
  for (let i = 0; i < MAX; i++) clients.push(await WireClient.connect(server.ws));
  const refused = await fetch(`${server.http}/ws`, { headers: UPGRADE, keepalive: false });
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(((await refused.json()) as { message: string }).message).toContain("--max-connections");
  for (const client of clients)
    expect(await client.ask(PING)).toEqual([{ status: "VALUE", value: Buffer.from("on") }]);
  expect((await fetch(`${server.http}/healthz`)).status).toBe(200);
  const stats = (await (await fetch(`${server.http}/stats`)).json()) as Record<string, number>;
  expect(stats).toMatchObject({ connections: MAX, connectionsMax: MAX, connectionsRefused: 1 });

  const leaver = clients.pop()!;
  leaver.close();
  await leaver.closed;
  clients.push(await WireClient.connect(server.ws));
  for (const client of clients) client.close();
  expect(await server.stop()).toBe(0);
});
