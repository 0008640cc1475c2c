/** What JSON text may look like before it is parsed; and texts that took a worker along, or held it for a second. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RequestError } from "../../src/protocol/errors";
import { checkJsonShape, JSON_DEPTH_MAX } from "../../src/protocol/json-shape";
import { NotedSocket, smallWorker } from "../support/small-session";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

function problem(text: string, valuesMax = 10): string | null {
  try {
    checkJsonShape(text, valuesMax);
    return null;
  } catch (error) {
    return (error as RequestError).message;
  }
}

describe("shape", () => {
  test("as deep as allowed, and one deeper", () => {
    expect(problem(nested(JSON_DEPTH_MAX), 100)).toBe(null);
    expect(problem(nested(JSON_DEPTH_MAX + 1), 100)).toContain("levels deep");
    expect(problem('{"a":'.repeat(JSON_DEPTH_MAX + 1), 100)).toContain("levels deep");
  });

  test("as many values as allowed, and one more", () => {
    expect(problem(`[${Array(9).fill(1).join(",")}]`)).toBe(null);
    expect(problem(`[${Array(10).fill(1).join(",")}]`)).toContain("more than 10 values");
    expect(problem(`{${Array(10).fill('"k":1').join(",")}}`)).toContain("more than 10 values");
  });

  test("arrays and objects are values too, however few commas there are between them", () => {
    expect(problem(nested(9))).toBe(null);
    expect(problem(nested(10))).toContain("more than 10 values");
    expect(problem('{"a":'.repeat(10))).toContain("more than 10 values");
    expect(problem(`[${Array(50).fill(nested(60)).join(",")}]`, 3000)).toContain("more than 3000 values");
  });

  test("what stands in a string does not count", () => {
    for (const inside of [",".repeat(99), "[".repeat(99), '\\"' + ",".repeat(99), '\\\\\\"' + "{".repeat(99)])
      expect(problem(`["${inside}"]`)).toBe(null);
    // The string ends before these: its last backslash is escaped itself.
    expect(problem(`["\\\\",${",".repeat(99)}`)).toContain("values");
    expect(problem(`"${"[".repeat(99)}`)).toBe(null);
  });
});

describe("on a server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ flags: ["--workers", "1", "--max-batch", "100"] });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
    expect(server.log()).not.toContain("error");
  });

  // Parsing took 50,000 levels, writing the answer did not: the worker ended, and everybody's connection with it.
  for (const depth of [5000, 50_000, 500_000])
    test(`an id nested ${depth} levels deep is refused, and the connection stays`, async () => {
      const client = await WireClient.connect(server.ws);
      const text = `{"op":"ping","id":${nested(depth)}}`;
      client.sendText(text);
      expect(JSON.parse((await client.message()) as string)).toMatchObject({
        status: "ERROR",
        code: "MALFORMED",
      });
      expect(await client.askJson({ op: "ping" })).toEqual({ status: "OK" });
      for (const path of ["/batch", "/put"])
        expect((await fetch(`${server.http}${path}`, { method: "POST", body: `[${text}]` })).status).toBe(
          413,
        );
      client.close();
    });

  test("very many values are refused with the flag's name", async () => {
    const body = `[{${Array.from({ length: 1700 }, (_, i) => `"k${i}":1`).join(",")}}]`;
    const refused = await fetch(`${server.http}/batch`, { method: "POST", body });
    expect(refused.status).toBe(413);
    expect(await refused.text()).toContain("--max-batch");
  });
});

test("a fault of the server's ends that connection, and says so in the log", () => {
  const faults: unknown[] = [];
  const worker = smallWorker(undefined, undefined, (error) => void faults.push(error));
  const [socket, other] = [new NotedSocket(), new NotedSocket()];
  const session = worker.open(socket);
  socket.sendText = () => {
    throw new Error("a fault");
  };
  session.receive('{"op":"ping"}');
  expect(socket.closed).toMatchObject({ code: 1011 });
  expect(faults).toEqual([new Error("a fault")]);
  worker.open(other).receive('{"op":"ping"}');
  expect(other.sent).toEqual(['{"status":"OK"}']);
});
