/** The test vectors of the wire protocol, byte for byte, and what the protocol says about the connection itself. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { replies, request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

/** Request and reply; `text` stands for an error's message, whose length and words are free. */
const VECTORS: [name: string, request: string, reply: string][] = [
  ["GET a", "01 00 0100 61", "03"],
  ["PUT a=hi", "02 01 0100 02000000 61 6869", "00"],
  ["GET a again", "01 00 0100 61", "01 02000000 6869"],
  ["PUT a=x if absent", "02 09 0100 01000000 61 78", "04"],
  ["two GETs in one message", "01 00 0100 61 01 00 0100 62", "01 02000000 6869 03"],
  ["ADD n 7", "05 01 0100 08000000 6e 0700000000000000", "05 0700000000000000"],
  ["ADD n -1", "05 01 0100 08000000 6e ffffffffffffffff", "05 0600000000000000"],
  ["ADD on text", "05 01 0100 08000000 61 0100000000000000", "84 text"],
  ["unknown op, then DELETE a", "7f 00 0000 03 00 0100 61", "81 text 00"],
  ["GET with an empty key", "01 00 0000", "82 text"],
  ["GET b with META and WATCH", "01 18 0100 62", "03"],
  ["GET b with version 0 and WATCH", "01 14 0100 0000000000000000 62", "03"],
  ["WATCH w: and WATCH of everything with NOLOOP", "10 00 0200 773a 10 08 0000", "00 00"],
  [
    "UNWATCH of everything, of w:, of what is not watched, and of all single keys",
    "11 00 0000 11 00 0200 773a 11 00 0100 78 11 08 0000",
    "00 00 00 00",
  ],
  ["PUT b with FILL of a lease that never was", "02 85 0100 01000000 0100000000000000 62 78", "04"],
  ["RELEASE of it", "13 04 0100 0100000000000000 62", "03"],
  ["LEASE with ttl 0", "12 02 0100 0000000000000000 62", "84 text"],
  ["LEASE of no key", "12 00 0000", "82 text"],
  ["PUT d=hi", "02 01 0100 02000000 64 6869", "00"],
  [
    "GETTOUCH d with ttl 5000, and without",
    "15 02 0100 8813000000000000 64 15 00 0100 64",
    "01 02000000 6869 01 02000000 6869",
  ],
  ["GETTOUCH d with ttl 0", "15 02 0100 0000000000000000 64", "84 text"],
  [
    "GETDELETE d, twice, and GETTOUCH of what is gone",
    "14 00 0100 64 14 00 0100 64 15 00 0100 64",
    "01 02000000 6869 03 03",
  ],
  ["GETDELETE and GETTOUCH of no key", "14 00 0000 15 00 0000", "82 text 82 text"],
  [
    "ops between and after those that there are",
    "0c 00 0000 0f 00 0000 16 00 0000 1f 00 0000",
    "81 text 81 text 81 text 81 text",
  ],
];

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

/** Puts the word `text` where a reply has an error's message. */
function readable(reply: Buffer): string {
  const parts: string[] = [];
  for (let at = 0; at < reply.length;) {
    const status = reply[at]!;
    if (status < 0x80) {
      const length = status === 1 ? 5 + reply.readUInt32LE(at + 1) : status === 5 ? 9 : 1;
      parts.push(reply.subarray(at, at + length).toString("hex"));
      at += length;
    } else {
      const length = reply.readUInt16LE(at + 1);
      expect(reply.subarray(at + 3, at + 3 + length).toString("utf8").length).toBeGreaterThan(5);
      parts.push(`${status.toString(16)}text`);
      at += 3 + length;
    }
  }
  return parts.join("");
}

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ flags: ["--max-message", "1mb", "--max-value", "500kb"] });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

beforeEach(async () => {
  const client = await WireClient.connect(server.ws);
  await client.ask(request({ op: 9 }));
  client.close();
});

describe("test vectors", () => {
  test("in order on an empty store, each reply one message", async () => {
    const client = await WireClient.connect(server.ws, { protocols: ["breadbox.v1"] });
    for (const [name, sent, wanted] of VECTORS) {
      client.send(hex(sent));
      const reply = await client.message();
      expect(`${name}: ${readable(reply as Buffer)}`).toBe(`${name}: ${wanted.replaceAll(" ", "")}`);
    }
    client.send(hex("01 00 0500 61"));
    expect(readable((await client.message()) as Buffer)).toBe("80text");
    expect((await client.closed).code).toBe(1008);
  });
});

describe("malformed requests are answered, then the connection is closed with 1008", () => {
  const MALFORMED: Record<string, string> = {
    "cut short in the header": "01 00",
    "cut short in the value": "02 01 0100 05000000 61 68",
    "a value length beyond all": "02 01 0100 ffffffff 61 68",
    "cut short in the ttl": "02 03 0100 01000000 0000",
    "a value length of 2^31": "02 01 0100 00000080 61 68",
    "a value length that wraps with the key's": "02 01 ffff 0100ffff 61 68",
    "a value one byte longer than the message": "02 01 0100 02000000 61 68",
    "a key longer than the message": "01 00 ffff 61",
    "a key one byte longer than the message": "01 00 0200 61",
    "a ttl above 2^53-1": "02 03 0100 01000000 0000000000002000 61 68",
    "a ttl of 2^64-1": "02 03 0100 01000000 ffffffffffffffff 61 68",
    "a version above 2^53-1": "03 04 0100 0000000000002000 61",
    "a version of 2^64-1": "03 04 0100 ffffffffffffffff 61",
    "IF_ABSENT with IF_PRESENT": "02 19 0100 01000000 61 78",
    "IF_ABSENT with VERSION": "02 0d 0100 01000000 0100000000000000 61 78",
    "PUT without a value": "02 00 0100 61",
    "ADD of 4 bytes": "05 01 0100 04000000 6e 01000000",
    "SCAN with a cursor of 3 bytes": "08 01 0000 03000000 010203",
    "a flag that the op does not have": "01 40 0100 61",
    "FILL without a token": "02 81 0100 01000000 61 78",
    "WATCH with a ttl": "10 02 0000 0100000000000000",
    "LEASE with 4 bytes": "12 01 0100 04000000 61 01000000",
    "RELEASE without a token": "13 00 0100 61",
    "WATCH cut short in its prefix": "10 00 0500 61",
  };
  for (const [name, bytes] of Object.entries(MALFORMED)) {
    test(name, async () => {
      const client = await WireClient.connect(server.ws);
      // What stands before it is answered; what follows is not.
      client.send(hex("02 01 0100 02000000 71 6f6b"), hex(bytes));
      expect((await client.reply()).status).toBe("OK");
      expect(await client.reply()).toMatchObject({ status: "ERROR", code: 0x80 });
      expect((await client.closed).code).toBe(1008);
    });
  }

  test("nothing changes in the store", async () => {
    const client = await WireClient.connect(server.ws);
    client.send(hex("02 19 0100 01000000 61 78"));
    await client.closed;
    const other = await WireClient.connect(server.ws);
    expect(await other.ask(request({ op: 1, key: "a" }))).toEqual([{ status: "MISS" }]);
    other.close();
  });
});

describe("numbers at their edges are taken", () => {
  const EDGES: [name: string, request: string, reply: string][] = [
    ["PUT with the longest ttl", "02 03 0100 01000000 ffffffffffff1f00 65 31", "00"],
    ["TOUCH with the longest ttl", "04 02 0100 ffffffffffff1f00 65", "00"],
    ["GET of what it holds", "01 00 0100 65", "01 01000000 31"],
    ["DELETE of the highest version", "03 04 0100 ffffffffffff1f00 65", "04"],
    ["DELETE of version 0", "03 04 0100 0000000000000000 65", "04"],
    ["PUT of the highest version", "02 05 0100 01000000 ffffffffffff1f00 65 32", "04"],
    ["PUT with ttl 0", "02 03 0100 01000000 0000000000000000 65 33", "84 text"],
    ["GET of what it did not change", "01 00 0100 65", "01 01000000 31"],
    ["PUT with ttl 1", "02 03 0100 01000000 0100000000000000 65 33", "00"],
    ["an unknown op with the longest ttl", "ee 02 0000 ffffffffffff1f00", "81 text"],
    ["ADD of the lowest number", "05 01 0100 08000000 6e 0000000000000080", "05 0000000000000080"],
    ["ADD below the lowest", "05 01 0100 08000000 6e ffffffffffffffff", "84 text"],
    ["SCAN from a cursor that nobody gave out", "08 01 0000 08000000 ffffffffffffffff", ""],
  ];
  test("in order, each reply one message", async () => {
    const client = await WireClient.connect(server.ws);
    for (const [name, sent, wanted] of EDGES) {
      client.send(hex(sent));
      const reply = (await client.message()) as Buffer;
      if (wanted === "") expect(replies(reply)).toEqual([{ status: "SCAN_PAGE", cursor: 0n, keys: [] }]);
      else expect(`${name}: ${readable(reply)}`).toBe(`${name}: ${wanted.replaceAll(" ", "")}`);
    }
    client.close();
  });
});

describe("an unknown op is stepped over", () => {
  for (const flags of [0, 1, 2, 4, 7, 0xf8, 0xff]) {
    test(`flags 0x${flags.toString(16)}`, async () => {
      const client = await WireClient.connect(server.ws);
      const unknown = request({
        op: 0xee,
        flags: flags & 0xf8,
        key: "some key",
        ...(flags & 1 ? { value: Buffer.from("a value") } : {}),
        ...(flags & 2 ? { ttlMs: 5n } : {}),
        ...(flags & 4 ? { version: 6n } : {}),
      });
      const [first, second] = await client.ask(unknown, request({ op: 10, value: Buffer.from("on") }));
      expect(first).toMatchObject({ status: "ERROR", code: 0x81 });
      expect(second).toEqual({ status: "VALUE", value: Buffer.from("on") });
      client.close();
    });
  }
});

describe("versions", () => {
  test("grow with every write of a key, deletes between them too", async () => {
    const client = await WireClient.connect(server.ws);
    let last = 0n;
    for (let round = 0; round < 20; round++) {
      const [put] = await client.ask(
        request({ op: 2, flags: 0x20, key: "v", value: Buffer.from(`${round}`) }),
      );
      if (put?.status !== "NUMBER") throw new Error("no version");
      expect(put.number).toBeGreaterThan(last);
      expect(put.number).toBeLessThan(2n ** 53n);
      const [meta] = await client.ask(request({ op: 1, flags: 0x08, key: "v" }));
      expect(meta).toEqual({
        status: "META_VALUE",
        version: put.number,
        ttlMs: 2n ** 64n - 1n,
        value: Buffer.from(`${round}`),
      });
      last = put.number;
      if (round % 3 === 0) await client.ask(request({ op: 3, key: "v", version: last }));
    }
    client.close();
  });
});

describe("the upgrade", () => {
  test("selects breadbox.v1 among others, and nothing when nothing is offered", async () => {
    const among = await WireClient.connect(server.ws, { protocols: ["chat", "breadbox.v1"] });
    expect(among.socket.protocol).toBe("breadbox.v1");
    among.close();
    const none = await WireClient.connect(server.ws);
    expect(none.socket.protocol).toBe("");
    none.close();
  });

  const handshake = (headers: Record<string, string>) =>
    fetch(`${server.http}/ws`, {
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ...headers,
      },
    });

  test("refuses a client that offers only others", async () => {
    expect((await handshake({ "Sec-WebSocket-Protocol": "chat, mqtt" })).status).toBe(400);
  });

  test("refuses foreign origins and takes its own", async () => {
    expect((await handshake({ Origin: "https://evil.example" })).status).toBe(403);
    const own = await WireClient.connect(server.ws, { headers: { Origin: server.http } });
    own.close();
  });

  test("a token that is offered as a subprotocol is never selected", async () => {
    // A bare handshake, since fetch cannot become a WebSocket.
    const raw = await new Promise<string>((resolve) => {
      const socket = connect(server.port, "127.0.0.1");
      socket.once("data", (chunk) => {
        socket.destroy();
        resolve(chunk.toString());
      });
      socket.write(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bearer.c2VjcmV0\r\n\r\n",
      );
    });
    expect(raw).toStartWith("HTTP/1.1 101");
    expect(raw.toLowerCase()).not.toContain("sec-websocket-protocol");
  });

  test("a plain GET /ws is told what this path is", async () => {
    const response = await fetch(`${server.http}/ws`);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { message: string }).message).toContain("WebSocket");
  });
});

describe("text messages", () => {
  test("the frames' own names for a prefix and a delta are taken too", async () => {
    const client = await WireClient.connect(server.ws);
    expect(await client.askJson({ op: "add", key: "al:n", value: 5 })).toMatchObject({
      status: "OK",
      number: 5,
    });
    expect(await client.askJson({ op: "add", key: "al:n", delta: "-9" })).toMatchObject({
      status: "OK",
      number: -4,
    });
    expect(await client.askJson({ op: "scan", key: "al:" })).toMatchObject({ keys: ["al:n"], cursor: "0" });
    expect(await client.askJson({ op: "clear", key: "al:" })).toEqual({ status: "OK", number: 1 });
    client.close();
  });
  test("the examples of the protocol", async () => {
    const client = await WireClient.connect(server.ws);
    const put = await client.askJson({ op: "put", key: "name", value: "Breadbox", ttl: 60000 });
    expect(put).toEqual({ status: "OK", version: expect.any(Number) });
    expect(await client.askJson({ op: "get", key: "name" })).toEqual({
      status: "OK",
      key: "name",
      value: "Breadbox",
      version: put.version,
    });
    await client.askJson({ op: "put", key: "b", value: "" });
    expect(
      await client.askJson([
        { op: "get", key: "a" },
        { op: "delete", key: "b" },
      ]),
    ).toEqual([{ status: "MISS", key: "a" }, { status: "OK" }]);
    client.close();
  });

  test("any id comes back unchanged", async () => {
    const client = await WireClient.connect(server.ws);
    for (const id of [7, "seven", null, false, { deep: [1, { er: null }] }, [[]]])
      expect(((await client.askJson({ op: "ping", id })) as { id: unknown }).id).toEqual(id);
    expect(await client.askJson({ op: "nope", id: "kept" })).toMatchObject({ status: "ERROR", id: "kept" });
    client.close();
  });

  const WRONG: [text: string, code: string, names: string][] = [
    ["{", "MALFORMED", "JSON"],
    ["7", "MALFORMED", "object"],
    ['{"key":"a"}', "MALFORMED", "op"],
    ['{"op":"fly"}', "UNKNOWN_OP", "op"],
    ['{"op":7}', "MALFORMED", "op"],
    ['{"op":"get"}', "MALFORMED", "key"],
    ['{"op":"get","key":7}', "MALFORMED", "key"],
    ['{"op":"get","key":""}', "BAD_KEY", "key"],
    ['{"op":"put","key":"a"}', "MALFORMED", "value"],
    ['{"op":"put","key":"a","value":"b","ttl":0}', "MALFORMED", "ttl"],
    ['{"op":"put","key":"a","value":"b","ttl":1.5}', "MALFORMED", "ttl"],
    ['{"op":"put","key":"a","value":"b","ttl":"5"}', "MALFORMED", "ttl"],
    ['{"op":"put","key":"a","value":"b","if":"maybe"}', "MALFORMED", "if"],
    ['{"op":"put","key":"a","value":"b","ifVersion":-1}', "MALFORMED", "ifVersion"],
    ['{"op":"put","key":"a","value":"b","tll":5}', "MALFORMED", "tll"],
    ['{"op":"put","key":"a","value":"=b","encoding":"base64"}', "MALFORMED", "value"],
    ['{"op":"put","key":"a","value":"\\ud800"}', "MALFORMED", "value"],
    ['{"op":"add","key":"a","delta":"9223372036854775808"}', "MALFORMED", "delta"],
    ['{"op":"add","key":"a"}', "MALFORMED", "delta"],
    ['{"op":"clear","key":"a","prefix":"b"}', "MALFORMED", "prefix"],
    ['{"op":"put","key":"a","value":"b","if":"absent","ifVersion":1}', "MALFORMED", "ifVersion"],
    ['{"op":"scan","cursor":"x"}', "MALFORMED", "cursor"],
  ];
  for (const [text, code, names] of WRONG) {
    test(`${text} is answered with ${code} and the connection stays`, async () => {
      const client = await WireClient.connect(server.ws);
      client.sendText(text);
      const answer = JSON.parse((await client.message()) as string);
      expect(answer).toMatchObject({ status: "ERROR", code });
      expect(answer.message).toContain(names);
      expect(await client.askJson({ op: "ping" })).toEqual({ status: "OK" });
      client.close();
    });
  }

  test("answers keep their place among binary replies", async () => {
    const client = await WireClient.connect(server.ws);
    const ping = (text: string) => request({ op: 10, value: Buffer.from(text) });
    client.send(ping("1"));
    client.sendText('{"op":"ping","value":"2"}');
    client.send(ping("3"), ping("4"));
    client.sendText('[{"op":"ping","value":"5"}]');
    const got: string[] = [];
    for (let i = 0; i < 4; i++) {
      const message = await client.message();
      got.push(typeof message === "string" ? message : message.toString("latin1").replace(/[^0-9]/g, ""));
    }
    expect(got).toEqual(["1", '{"status":"OK","value":"2"}', "34", '[{"status":"OK","value":"5"}]']);
    client.close();
  });
});

describe("messages at the limit", () => {
  test("the largest text message is taken, one byte more closes with 1009", async () => {
    const client = await WireClient.connect(server.ws);
    const head = '{"op":"ping","value":""}'.length;
    const largest = "v".repeat(2 ** 20 - head);
    expect(await client.askJson({ op: "ping", value: largest })).toEqual({ status: "OK", value: largest });
    client.sendText(JSON.stringify({ op: "ping", value: `${largest}v` }));
    expect((await client.closed).code).toBe(1009);
  });

  for (const [path, around] of [
    ["/batch", ['[{"op":"ping","value":"', '"}]']],
    ["/put", ['{"key":"k","value":"', '","ttl":1000, "encoding":"base64"}']],
  ] as const) {
    test(`the largest body of ${path} is read, one byte more is 413`, async () => {
      const body = (bytes: number) => around[0] + "v".repeat(bytes - around.join("").length) + around[1];
      const post = (bytes: number) => fetch(`${server.http}${path}`, { method: "POST", body: body(bytes) });
      expect((await post(2 ** 20 - 1)).status).not.toBe(413);
      const largest = await post(2 ** 20);
      // What is wrong with this put is its value, not its body.
      expect(await largest.text()).toContain(path === "/put" ? "value: " : '"status":"OK"');
      const larger = await post(2 ** 20 + 1);
      expect(larger.status).toBe(413);
      expect(await larger.text()).toContain("--max-message");
    });
  }

  test("an empty message is answered by nothing", async () => {
    const client = await WireClient.connect(server.ws);
    client.send(Buffer.alloc(0));
    expect(await client.ask(request({ op: 10, value: Buffer.from("x") }))).toHaveLength(1);
    client.close();
  });

  test("the largest message is taken, one byte more closes with 1009", async () => {
    const client = await WireClient.connect(server.ws);
    const head = request({ op: 10, value: Buffer.alloc(0) }).length;
    const largest = Buffer.alloc(2 ** 20 - head, 1);
    expect(await client.ask(request({ op: 10, value: largest }))).toEqual([
      { status: "VALUE", value: largest },
    ]);
    client.send(request({ op: 10, value: Buffer.alloc(2 ** 20 - head + 1) }));
    expect((await client.closed).code).toBe(1009);
  });
});
