/** The client against servers that misbehave in the ways that real ones do, in Bun and in Node. */
import { describe, expect, test } from "bun:test";
import { connect } from "../../src/client/client";
import { freeze, thaw } from "../support/process";
import { startServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { writeFileSync } from "node:fs";
import { errorOf } from "./error-of";
import { type Behaviour, HostileServer } from "./hostile-server";
import { BUN, NODE_WS, run } from "./runtimes";
import { requestsIn, value } from "./wire-replies";

const WELL: Behaviour = {
  received: (socket, message) => {
    for (const { key } of requestsIn(message)) socket.sendBinary(value(`for ${key}`));
  },
};
const MUTE: Behaviour = {};

for (const runtime of [BUN, NODE_WS])
  describe(runtime.name, () => {
    test("after garbage, nothing that comes later is taken for another's answer", async () => {
      const garbage: Behaviour = {
        received: (socket, message) => {
          socket.sendBinary(Buffer.of(0x55));
          for (const { key } of requestsIn(message)) socket.sendBinary(value(`stale, for ${key}`));
        },
      };
      await using server = new HostileServer([garbage, WELL]);
      const script = `
        const cache = await connect(argument, { ...runtimeOptions, reconnectMinMs: 1 });
        console.log(await cache.many(["a", "b", "c"]));
        await cache.close();
      `;
      const { stdout, stderr, code } = await run(runtime, script, server.url);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(JSON.parse(stdout.replaceAll("'", '"'))).toEqual(["for a", "for b", "for c"]);
    });

    test("close ends the process, though the server answers nothing and says no goodbye", async () => {
      const server = await startServer();
      const script = `
        const cache = await connect(argument, { ...runtimeOptions, timeoutMs: 200 });
        await cache.put("k", "v");
        process.kill(${server.process.pid}, "SIGSTOP");
        // A get or two may still be answered.
        while ((await cache.get("k").catch(({ code }) => code)) !== "timeout");
        const both = Promise.all([cache.close(), cache.close()]);
        console.log(await cache.get("k").catch(({ code }) => code));
        await both;
        console.log("closed");
      `;
      const ran = await run(runtime, script, server.http);
      expect(ran).toEqual({ code: 0, stdout: "closed\nclosed\n", stderr: "" });
      thaw(server.process.pid);
      expect(await server.stop()).toBe(0);
    });

    test("a listener that throws does not stop reconnection, and its error is not swallowed", async () => {
      const dropping: Behaviour = { received: (socket) => socket.terminate() };
      await using server = new HostileServer([dropping, WELL]);
      const script = `
        const uncaught = [];
        process.on("uncaughtException", ({ message }) => uncaught.push(message));
        const cache = await connect(argument, { ...runtimeOptions, reconnectMinMs: 1 });
        const seen = [];
        for (const name of ["close", "reconnecting", "open"]) {
          cache.on(name, () => { throw new Error("thrown at " + name); });
          cache.on(name, () => seen.push(name));
        }
        const answer = await cache.get("k");
        await cache.close();
        await new Promise((resolve) => setTimeout(resolve));
        console.log(JSON.stringify({ answer, seen, uncaught }));
      `;
      const { stdout, code, stderr } = await run(runtime, script, server.url);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const names = ["close", "reconnecting", "open"];
      expect(JSON.parse(stdout)).toEqual({
        answer: "for k",
        seen: [...names, "close"],
        uncaught: [...names, "close"].map((name) => `thrown at ${name}`),
      });
    });

    test("20,000 gets with one signal: answered, aborted, and no warning", async () => {
      await using server = await stoppable();
      const script = `
        const cache = await connect(argument, runtimeOptions);
        const abort = new AbortController();
        const gets = () => Array.from({ length: 20_000 }, (_, i) => cache.get("k" + i, { signal: abort.signal }));
        const answers = await Promise.all(gets());
        const aborted = Promise.allSettled(gets());
        abort.abort();
        const codes = new Set((await aborted).map(({ reason }) => reason.code));
        await cache.close();
        console.log(JSON.stringify([answers.length, ...codes]));
      `;
      expect(await run(runtime, script, server.http)).toEqual({
        code: 0,
        stdout: '[20000,"aborted"]\n',
        stderr: "",
      });
    });
  });

async function stoppable() {
  const server = await startServer();
  return {
    http: server.http,
    async [Symbol.asyncDispose]() {
      expect(await server.stop()).toBe(0);
    },
  };
}

test("a server that hangs with its connections open is found by the heartbeat, and used again when it is back", async () => {
  const server = await startServer();
  const client = await connect(server.http, { heartbeatMs: 100, timeoutMs: 30_000, reconnectMinMs: 1 });
  await client.put("k", "v");
  const closed = new Promise((resolve) => client.on("close", resolve));
  await freeze(server.process.pid);
  const gets = Promise.all(Array.from({ length: 40 }, () => client.get("k")));
  const put = errorOf(client.put("k", "w"));
  expect(await closed).toEqual({ code: 1006, reason: "nothing came for 200 ms", willReconnect: true });
  expect(await put).toMatchObject({ code: "disconnected", mayHaveHappened: true });
  thaw(server.process.pid);
  expect(new Set(await gets)).toBeOneOf([new Set(["v"]), new Set(["w"]), new Set(["v", "w"])]);
  await client.close();
  expect(await server.stop()).toBe(0);
});

test("one that hangs while nobody asks for anything is found, too", async () => {
  await using server = new HostileServer([MUTE, WELL]);
  const client = await connect(server.url, { heartbeatMs: 40, reconnectMinMs: 1 });
  const opened = new Promise((resolve) => client.on("open", resolve));
  const closed = new Promise((resolve) => client.on("close", resolve));
  expect(await closed).toMatchObject({ code: 1006, willReconnect: true });
  await opened;
  expect(await client.get("k")).toBe("for k");
  await client.close();
});

test("a server that accepts and closes is dialled after longer and longer delays", async () => {
  await using server = new HostileServer([{ opened: (socket) => socket.close(1013, "full") }]);
  const client = await connect(server.url, { reconnectMinMs: 1, reconnectMaxMs: 60_000 });
  const attempts: number[] = [];
  const seven = new Promise<void>((resolve) =>
    client.on("reconnecting", ({ attempt, delayMs }) => {
      attempts.push(attempt);
      expect(delayMs).toBeWithin(Math.floor(2 ** (attempt - 2)), 2 ** (attempt - 1) + 1);
      if (attempt === 7) resolve();
    }),
  );
  await seven;
  expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7]);
  await client.close();
});

test("a listener may close the client", async () => {
  await using server = new HostileServer([{ received: (socket) => socket.terminate() }]);
  const client = await connect(server.url);
  const events: string[] = [];
  for (const name of ["open", "close", "reconnecting"] as const) client.on(name, () => events.push(name));
  let closing: Promise<void> | undefined;
  client.on("close", () => void (closing = client.close()));
  expect((await errorOf(client.get("k"))).code).toBe("closed");
  await closing;
  expect(events).toEqual(["close"]);
  expect(server.opened).toBe(1);
});

test("a token that is taken away ends the client for good, and its requests say so", async () => {
  const file = temporaryFile("client-tokens", "first\nsecond\n");
  const server = await startServer({ flags: ["--token-file", file] });
  const client = await connect(server.http, { token: "first" });
  await client.put("k", "v");
  const closed = new Promise((resolve) => client.on("close", resolve));
  writeFileSync(file, "second\n");
  await server.renew();
  expect(await closed).toMatchObject({ code: 4401, willReconnect: false });
  expect((await errorOf(client.get("k"))).code).toBe("unauthorized");
  expect((await errorOf(connect(server.http, { token: "first" }))).code).toBe("unauthorized");
  await client.close();
  expect(await server.stop()).toBe(0);
});

test("a token that is taken away while the server is down ends it at the first attempt", async () => {
  const first = await startServer({ flags: ["--token", "old"] });
  const client = await connect(first.http, { token: "old", reconnectMinMs: 5, timeoutMs: 30_000 });
  const ended = new Promise((resolve) =>
    client.on("close", (event) => !event.willReconnect && resolve(event.code)),
  );
  await first.stop();
  const get = errorOf(client.get("k"));
  const second = await startServer({ flags: ["--token", "new", "--port", String(first.port)] });
  expect(await ended).toBe(4401);
  expect((await get).code).toBe("unauthorized");
  await client.close();
  await second.stop();
});

test("a server that stops reading: what waits is bounded, and close still comes to its end", async () => {
  const server = await startServer();
  const client = await connect(server.http, { timeoutMs: 300, closeTimeoutMs: 100, waitingMax: 100 });
  await freeze(server.process.pid);
  const puts = Array.from({ length: 400 }, () => errorOf(client.put("k", new Uint8Array(100_000))));
  const codes = (await Promise.all(puts)).map(({ code }) => code);
  expect(new Set(codes)).toEqual(new Set(["overloaded", "timeout"]));
  await client.close();
  thaw(server.process.pid);
  expect(await server.stop()).toBe(0);
});
