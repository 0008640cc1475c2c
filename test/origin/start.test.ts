/** A server whose origin is not there, or is not what it should be: it serves, says what is wrong, and goes on when that is mended. */
import { afterEach, expect, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { type Engine, freePorts, startEngine, until } from "../support/engine";
import { request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function serverBefore(origin: string): Promise<TestServer> {
  const server = await startServer({ flags: ["--origin", origin] });
  ended.push(async () => expect(await server.stop()).toBe(0));
  return server;
}

async function engine(options: Parameters<typeof startEngine>[0] = {}): Promise<Engine> {
  const started = await startEngine(options);
  ended.push(() => started.kill());
  return started;
}

const keyOf = (server: TestServer) => `${server.http}/kv/key`;
const write = (server: TestServer) => fetch(keyOf(server), { method: "PUT", body: "value" });

/** What a wrong origin is answered with, over HTTP and in frames; the log says the same. */
async function expectRefusal(origin: string, reason: RegExp): Promise<void> {
  const server = await serverBefore(origin);
  await server.logged(reason);
  await until("the reason is known", async () => reason.test(await (await fetch(keyOf(server))).text()));
  expect([(await fetch(keyOf(server))).status, (await write(server)).status]).toEqual([503, 503]);
  const wire = await WireClient.connect(server.ws);
  expect(await wire.ask(request({ op: 1, key: "key" }))).toMatchObject([{ status: "ERROR", code: 0x86 }]);
  wire.close();
  expect((await fetch(`${server.http}/healthz`)).status).toBe(200);
  expect(server.log()).not.toContain("wrong word");
}

test("nobody listens there", async () => {
  const [port] = await freePorts(1);
  await expectRefusal(`redis://127.0.0.1:${port}`, /nothing listens there/);
});

test("it wants another password", async () => {
  const { port } = await engine({ password: "secret" });
  await expectRefusal(`redis://:wrong%20word@127.0.0.1:${port}`, /refuses the user or the password/);
});

test("it wants a password", async () => {
  const { port } = await engine({ password: "secret" });
  await expectRefusal(`redis://127.0.0.1:${port}`, /asks for a password/);
});

test("it speaks something else", async () => {
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  ended.push(() => other.stop(true));
  await expectRefusal(`redis://127.0.0.1:${other.port}`, /has ended the connection|cannot be connected/);
});

test("it is several servers that are no cluster", async () => {
  const [one, other] = [await engine(), await engine()];
  await expectRefusal(`${one.url},${other.address}`, /servers that are named are no cluster/);
});

test("it is a node of a cluster, and has no slots", async () => {
  const { url } = await engine({ flags: ["--cluster-enabled", "yes"] });
  await expectRefusal(url, /without slots|knows no master/);
});

test("a cluster that is down at the start is used as soon as it is there", async () => {
  const cluster = await startCluster({ replicas: 0 });
  ended.push(() => cluster.stop());
  await cluster.stop();
  const server = await serverBefore(cluster.url);
  await server.logged("origin: down");
  expect((await write(server)).status).toBe(503);
  await cluster.start();
  await server.logged("origin: connected to 3 masters");
  await until("a write is taken", async () => (await write(server)).status === 204);
  expect(await (await fetch(keyOf(server))).text()).toBe("value");
});

test("requests that wait for an origin that hangs are answered when the server is stopped", async () => {
  const { url, freeze, thaw } = bound(await engine());
  const server = await startServer({ flags: ["--origin", url, "--origin-timeout", "1s"] });
  await server.logged("origin: connected");
  const wire = await WireClient.connect(server.ws);
  await freeze();
  try {
    const put = write(server).then((response) => response.status);
    wire.send(request({ op: 1, key: "a" }), request({ op: 2, key: "b", value: Buffer.from("1") }));
    // Text is answered after what came before it.
    wire.sendText('[{"op":"get","key":"c"},{"op":"ping"}]');
    await until("all of it waits", async () => (await openCalls(server)) >= 2);
    const stopped = server.stop();
    expect([await wire.reply(), await wire.reply()]).toMatchObject([{ code: 0x86 }, { code: 0x86 }]);
    expect(JSON.parse((await wire.message()) as string)).toMatchObject([{ code: "BUSY" }, { status: "OK" }]);
    expect([await put, (await wire.closed).code, await stopped]).toEqual([503, 1001, 0]);
  } finally {
    thaw();
  }
});

async function openCalls(server: TestServer): Promise<number> {
  const { origin } = (await (await fetch(`${server.http}/stats`)).json()) as {
    origin: { calls: Record<string, number> };
  };
  return origin.calls.get! + origin.calls.put!;
}

function bound(started: Engine) {
  return { url: started.url, freeze: () => started.freeze(), thaw: () => started.thaw() };
}
