/** Frames in and out, in process: what RFC 6455 asks of a server, wherever the input is cut. */
import { describe, expect, test } from "bun:test";
import { LOOKS_MAX, look } from "../../src/net/watch";
import { replies, request } from "../support/frames";
import { Random } from "../support/random";
import { HANDSHAKE } from "../support/raw-socket";
import { scopedToken, SECRET } from "../support/scoped";
import { LIMITS } from "../support/small-session";
import { type KernelSocket, smallServer } from "../support/small-server";

const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

interface FrameOptions {
  isLast?: boolean;
  /** How many bytes the length takes: 0, 2 or 8; the shortest that fits by default. */
  lengthBytes?: number;
  mask?: Buffer | null;
  reserved?: number;
}

/** A frame as a client sends it. */
function frame(opcode: number, payload: Buffer | string, options: FrameOptions = {}): Buffer {
  const { isLast = true, mask = Buffer.from([1, 2, 3, 0xfe]), reserved = 0 } = options;
  const bytes = Buffer.from(payload as string);
  const lengthBytes = options.lengthBytes ?? (bytes.length < 126 ? 0 : bytes.length < 65_536 ? 2 : 8);
  const head = Buffer.alloc(2 + lengthBytes);
  head[0] = (isLast ? 0x80 : 0) | reserved | opcode;
  head[1] = lengthBytes === 0 ? bytes.length : lengthBytes === 2 ? 126 : 127;
  if (lengthBytes === 2) head.writeUInt16BE(bytes.length, 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(bytes.length), 2);
  if (mask === null) return Buffer.concat([head, bytes]);
  head[1]! |= 0x80;
  return Buffer.concat([head, mask, Buffer.from(bytes.map((byte, i) => byte ^ mask[i & 3]!))]);
}

interface Received {
  opcode: number;
  payload: Buffer;
}

/** What the server sent behind its handshake. */
function received(socket: KernelSocket): Received[] {
  const bytes = socket.received;
  const frames: Received[] = [];
  for (let at = bytes.indexOf("\r\n\r\n") + 4; at < bytes.length;) {
    expect(bytes[at]! & 0xf0).toBe(0x80);
    expect(bytes[at + 1]! & 0x80).toBe(0);
    const short = bytes[at + 1]!;
    const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
    const length =
      lengthBytes === 0
        ? short
        : lengthBytes === 2
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    const start = at + 2 + lengthBytes;
    frames.push({ opcode: bytes[at]! & 0x0f, payload: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return frames;
}

function connected(server = smallServer()) {
  const socket = server.connect();
  socket.send(HANDSHAKE("/ws"));
  expect(socket.text).toStartWith("HTTP/1.1 101 ");
  const closeCode = () => {
    const last = received(socket).at(-1);
    return last?.opcode === CLOSE && last.payload.length >= 2 ? last.payload.readUInt16BE() : null;
  };
  return { server, socket, closeCode };
}

const binaryReplies = (socket: KernelSocket) =>
  received(socket).flatMap(({ opcode, payload }) => (opcode === BINARY ? replies(payload) : []));

test("the key is answered as in RFC 6455, 1.3, and frames that came along with the handshake count", () => {
  const { connect } = smallServer();
  const socket = connect();
  socket.send(Buffer.concat([Buffer.from(HANDSHAKE("/ws")), frame(PING, "early")]));
  expect(socket.text).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  expect(received(socket)).toEqual([{ opcode: PONG, payload: Buffer.from("early") }]);
});

test("a handshake may come in single bytes, and so may everything after it", () => {
  const { connect } = smallServer();
  const socket = connect();
  const all = Buffer.concat([Buffer.from(HANDSHAKE("/ws")), frame(PING, "p"), frame(TEXT, '{"op":"ping"}')]);
  for (const byte of all) socket.send(Buffer.from([byte]));
  expect(received(socket).map(({ opcode }) => opcode)).toEqual([PONG, TEXT]);
});

describe("a handshake", () => {
  const fields = {
    Host: "localhost",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const answer = (changed: Record<string, string | null>, start = "GET /ws HTTP/1.1") => {
    const socket = smallServer().connect();
    const all = Object.entries<string | null>({ ...fields, ...changed }).filter(
      ([, value]) => value !== null,
    );
    socket.send([start, ...all.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n"));
    return Number(socket.text.slice(9, 12));
  };
  const CASES: [changed: Record<string, string | null>, status: number][] = [
    [{}, 101],
    [{ Connection: "keep-alive, upgrade", Upgrade: "WebSocket" }, 101],
    [{ Upgrade: "h2c, websocket" }, 101],
    [{ "Content-Length": "0" }, 101],
    [{ "Sec-WebSocket-Protocol": "other, breadbox.v1" }, 101],
    [{ Upgrade: null }, 400],
    [{ Upgrade: "websocket2" }, 400],
    [{ Connection: null }, 400],
    [{ Connection: "keep-alive" }, 400],
    [{ "Sec-WebSocket-Version": null }, 426],
    [{ "Sec-WebSocket-Version": "8" }, 426],
    [{ "Sec-WebSocket-Key": null }, 400],
    [{ "Sec-WebSocket-Key": "" }, 400],
    [{ "Sec-WebSocket-Key": "dGhlIHNhbXBsZQ==" }, 400],
    [{ "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ!!" }, 400],
    [{ "Sec-WebSocket-Protocol": "other" }, 400],
    [{ "Content-Length": "1" }, 400],
    [{ "Transfer-Encoding": "chunked" }, 400],
  ];
  for (const [changed, status] of CASES)
    test(`${JSON.stringify(changed)}: ${status}`, () => expect(answer(changed)).toBe(status));

  test("is a GET of HTTP/1.1", () => {
    expect(answer({}, "GET /ws HTTP/1.0")).toBe(400);
    expect(answer({}, "HEAD /ws HTTP/1.1")).toBe(400);
    expect(answer({}, "POST /ws HTTP/1.1")).toBe(405);
  });

  test("that waits behind an answer hands on everything that came with it, and that the peer is done", async () => {
    for (const isEnded of [false, true]) {
      const { connect, connections } = smallServer();
      const socket = connect();
      const body = JSON.stringify(Array.from({ length: 9000 }, () => ({ op: "get", key: "a" })));
      socket.send(`POST /batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      socket.send(
        Buffer.concat([
          Buffer.from(HANDSHAKE("/ws")),
          frame(BINARY, request({ op: 10, value: Buffer.alloc(99_000) })),
        ]),
      );
      expect(socket.paused).toBe(true);
      if (isEnded) socket.sendEnd();
      while (connections.sessions.size === 0 && socket.ended === null) await nextTurn();
      expect(socket.paused).toBe(false);
      expect(socket.ended).toBe(isEnded ? "whole" : null);
    }
  });

  test("whose token was still being verified when the server began to shut down", async () => {
    const { connect, connections } = smallServer({ secrets: [SECRET] });
    const socket = connect();
    socket.send(HANDSHAKE("/ws", `Authorization: Bearer ${scopedToken("a:", ["get"])}\r\n`));
    connections.finish();
    while (socket.text === "") await nextTurn();
    expect(received(socket)[0]!.payload.readUInt16BE()).toBe(1001);
  });
});

describe("payloads", () => {
  const SIZES = [0, 1, 2, 3, 4, 5, 125, 126, 127, 16_383, 16_384, 16_385, 65_535, 65_536, 99_000];
  for (const size of SIZES)
    test(`of ${size} bytes, echoed by PING`, () => {
      const value = new Random(size).bytes(size);
      const { socket } = connected();
      for (const mask of [Buffer.alloc(4), Buffer.from([0xff, 0, 0x80, 7])])
        socket.send(frame(BINARY, request({ op: 10, value }), { mask }));
      expect(binaryReplies(socket)).toEqual(Array(2).fill({ status: "VALUE", value }));
    });

  test("lengths may be written longer than they need", () => {
    const { socket } = connected();
    for (const lengthBytes of [0, 2, 8])
      socket.send(frame(BINARY, request({ op: 1, key: "a" }), { lengthBytes }));
    expect(binaryReplies(socket)).toEqual(Array(3).fill({ status: "MISS" }));
  });

  test("up to the limit, in one frame or in fragments; beyond it 1009, before it came in", () => {
    const value = Buffer.alloc(LIMITS.messageBytesMax - 8);
    const message = request({ op: 10, value });
    expect(message.length).toBe(LIMITS.messageBytesMax);
    const half = message.length / 2;
    const fits = connected();
    fits.socket.send(frame(BINARY, message));
    fits.socket.send(frame(BINARY, message.subarray(0, half), { isLast: false }));
    fits.socket.send(frame(CONTINUATION, message.subarray(half)));
    expect(fits.closeCode()).toBe(null);
    const whole = connected();
    whole.socket.send(frame(BINARY, Buffer.concat([message, Buffer.alloc(1)])).subarray(0, 14));
    expect([whole.closeCode(), whole.socket.ended]).toEqual([1009, "half"]);
    const inFragments = connected();
    inFragments.socket.send(frame(BINARY, message, { isLast: false }));
    inFragments.socket.send(frame(CONTINUATION, "x").subarray(0, 6));
    expect(inFragments.closeCode()).toBe(1009);
  });

  test("what has come in of a message counts as held", () => {
    const { server, socket } = connected();
    const [session] = server.connections.sessions;
    socket.send(frame(BINARY, Buffer.alloc(300_000), { isLast: false }));
    expect(session!.heldBytes()).toBeGreaterThanOrEqual(300_000);
    socket.send(frame(CONTINUATION, Buffer.alloc(500_000)).subarray(0, 400_000));
    expect(session!.heldBytes()).toBeGreaterThanOrEqual(690_000);
  });

  test("what is announced is not reserved", () => {
    const { server, socket } = connected();
    socket.send(frame(BINARY, Buffer.alloc(1 << 20)).subarray(0, 20));
    const [session] = server.connections.sessions;
    expect(session!.heldBytes()).toBeLessThan(10_000);
  });
});

describe("fragments", () => {
  test("make one message, with control frames between them", () => {
    const { socket } = connected();
    const message = request({ op: 10, value: Buffer.from("whole") });
    socket.send(frame(BINARY, message.subarray(0, 3), { isLast: false }));
    socket.send(frame(PING, "between"));
    socket.send(frame(CONTINUATION, "", { isLast: false }));
    socket.send(frame(CONTINUATION, message.subarray(3, 4), { isLast: false }));
    socket.send(frame(PONG, "unasked"));
    socket.send(frame(CONTINUATION, message.subarray(4)));
    expect(received(socket).map(({ opcode }) => opcode)).toEqual([PONG, BINARY]);
    expect(binaryReplies(socket)).toEqual([{ status: "VALUE", value: Buffer.from("whole") }]);
  });

  test("of a text may be cut within a character", () => {
    const { socket } = connected();
    const text = Buffer.from('{"op":"put","key":"ü","value":"€"}');
    for (let at = 0; at < text.length; at++)
      socket.send(
        frame(at === 0 ? TEXT : CONTINUATION, text.subarray(at, at + 1), { isLast: at === text.length - 1 }),
      );
    expect(received(socket)[0]!.payload.toString()).toStartWith('{"status":"OK"');
  });
});

describe("against the protocol", () => {
  const CASES: [what: string, frames: Buffer[], code: number][] = [
    ["not masked", [frame(BINARY, "abcd", { mask: null })], 1002],
    ["a reserved bit", [frame(BINARY, "abcd", { reserved: 0x40 })], 1002],
    ["another", [frame(PING, "", { reserved: 0x10 })], 1002],
    ...[3, 7, 11, 15].map((op): [string, Buffer[], number] => [`opcode ${op}`, [frame(op, "")], 1002]),
    ["a continuation of nothing", [frame(CONTINUATION, "x")], 1002],
    ["a message within fragments", [frame(TEXT, "x", { isLast: false }), frame(TEXT, "y")], 1002],
    ["a ping in fragments", [frame(PING, "x", { isLast: false })], 1002],
    ["a ping of 126 bytes", [frame(PING, Buffer.alloc(126))], 1002],
    ["a close of one byte", [frame(CLOSE, "x")], 1002],
    ["a close code that may not be sent", [frame(CLOSE, Buffer.from([0x03, 0xed]))], 1002],
    ["a close code of nobody", [frame(CLOSE, Buffer.from([0x07, 0xd0]))], 1002],
    ["a reason that is no UTF-8", [frame(CLOSE, Buffer.from([0x03, 0xe8, 0xff]))], 1002],
    ["a text that is no UTF-8", [frame(TEXT, Buffer.from([0xc3, 0x28]))], 1007],
    [
      "a text that ends within a character",
      [frame(TEXT, Buffer.from([0xe2, 0x82]), { isLast: false }), frame(CONTINUATION, "")],
      1007,
    ],
  ];
  for (const [what, frames, code] of CASES)
    test(`${what}: ${code}, and nothing that follows counts`, () => {
      const { socket, closeCode, server } = connected();
      const put = frame(BINARY, request({ op: 2, key: "late", value: Buffer.from("x") }));
      socket.send(Buffer.concat([...frames, put]));
      expect([closeCode(), socket.ended]).toEqual([code, "half"]);
      expect(server.store.get("late")).toBe(null);
      socket.sendEnd();
      expect([server.connections.sessions.size, socket.ended as string]).toEqual([0, "whole"]);
    });
});

describe("closing", () => {
  test("their close is answered with its code, and the connection ends", () => {
    for (const payload of [
      Buffer.alloc(0),
      Buffer.from([0x03, 0xe8]),
      Buffer.from([0x0f, 0xa0, 0x62, 0x79, 0x65]),
    ]) {
      const { socket } = connected();
      socket.send(frame(CLOSE, payload));
      expect(received(socket)).toEqual([{ opcode: CLOSE, payload: payload.subarray(0, 2) }]);
      expect(socket.ended).toBe("half");
    }
  });

  test("ours waits for theirs; what still comes before it has no effect", () => {
    const { server, socket, closeCode } = connected();
    socket.send(frame(BINARY, Buffer.from([1])));
    expect([closeCode(), socket.ended]).toEqual([1008, null]);
    socket.send(frame(BINARY, request({ op: 2, key: "late", value: Buffer.from("x") })));
    socket.send(frame(PING, "late"));
    expect(server.store.get("late")).toBe(null);
    socket.send(frame(CLOSE, Buffer.from([0x03, 0xf0])));
    expect(
      received(socket)
        .map(({ opcode }) => opcode)
        .filter((opcode) => opcode !== BINARY),
    ).toEqual([CLOSE]);
    expect(socket.ended as string).toBe("half");
  });

  test("answers that are under way leave before it", async () => {
    const { server, socket, closeCode } = connected();
    const batch = Buffer.concat(Array.from({ length: 9000 }, () => request({ op: 1, key: "a" })));
    socket.room = 100;
    socket.send(frame(BINARY, batch));
    server.connections.finish();
    while (closeCode() === null) {
      socket.take(5000);
      await nextTurn();
    }
    expect(binaryReplies(socket)).toHaveLength(9000);
    expect(closeCode()).toBe(1001);
  });

  test("a peer that sends no more without a close is gone", () => {
    const { server, socket } = connected();
    socket.sendEnd();
    expect([socket.ended, server.connections.sessions.size]).toEqual(["whole", 0]);
  });
});

describe("what came in before the end", () => {
  const count = 9000;
  const batch = Buffer.concat(Array.from({ length: count }, () => request({ op: 1, key: "a" })));
  const last = frame(BINARY, request({ op: 2, key: "last", value: Buffer.from("x") }));
  const ENDS: [what: string, end: (socket: KernelSocket) => void, code: number | null][] = [
    ["a close", (socket) => socket.send(frame(CLOSE, Buffer.from([0x03, 0xe8]))), 1000],
    ["the end of the connection", (socket) => socket.sendEnd(), null],
    ["a text that is no UTF-8", (socket) => socket.send(frame(TEXT, Buffer.from([0xff]))), 1007],
    ["an unknown opcode", (socket) => socket.send(frame(5, "")), 1002],
  ];
  for (const [what, end, code] of ENDS)
    test(`is answered, whatever comes behind it: ${what}`, async () => {
      const { server, socket, closeCode } = connected();
      socket.send(Buffer.concat([frame(BINARY, batch), last]));
      end(socket);
      while (socket.ended === null) await nextTurn();
      expect(binaryReplies(socket)).toHaveLength(count + 1);
      expect(closeCode()).toBe(code);
      expect(server.store.get("last")?.toString()).toBe("x");
    });

  test("also where it was too much, and the socket was paused", async () => {
    for (const end of ["close", "end"]) {
      const { socket, closeCode } = connected();
      const messages = Array.from({ length: 30_000 }, () => frame(BINARY, request({ op: 1, key: "a" })));
      const goodbye = end === "close" ? [frame(CLOSE, Buffer.from([0x03, 0xe8]))] : [];
      socket.send(Buffer.concat([...messages, ...goodbye]));
      expect(socket.paused).toBe(true);
      if (end === "end") socket.sendEnd();
      while (socket.ended === null) await nextTurn();
      expect([binaryReplies(socket).length, closeCode()]).toEqual([30_000, end === "close" ? 1000 : null]);
    }
  });

  test("also when the server shuts down", async () => {
    const { server, socket, closeCode } = connected();
    const messages = Array.from({ length: 30_000 }, () => frame(BINARY, request({ op: 1, key: "a" })));
    socket.send(Buffer.concat([...messages, frame(BINARY, "half a frame").subarray(0, 9)]));
    expect(socket.paused).toBe(true);
    server.connections.finish();
    while (closeCode() === null) await nextTurn();
    expect([binaryReplies(socket).length, closeCode()]).toEqual([30_000, 1001]);
  });

  test("a session that is ended while it is paused still hears the answer to its goodbye", () => {
    const { server, socket } = connected();
    socket.room = 0;
    for (let i = 0; i < 6; i++) socket.send(frame(BINARY, request({ op: 10, value: Buffer.alloc(99_000) })));
    expect(socket.paused).toBe(true);
    const [session] = server.connections.sessions;
    session!.withdraw("no longer");
    expect(socket.paused).toBe(false);
  });

  test("after a close a client that reads, however slowly, gets it all", () => {
    const { server, socket } = connected();
    socket.room = 0;
    socket.send(frame(BINARY, request({ op: 10, value: Buffer.alloc(99_000) })));
    socket.send(frame(CLOSE, Buffer.from([0x03, 0xe8])));
    const [session] = server.connections.sessions;
    for (let looks = 0; looks < 5 * LOOKS_MAX; looks++) {
      if (looks % (LOOKS_MAX / 2) === 0) socket.take(100);
      expect(look(session!)).toBe(true);
    }
    socket.take(Infinity);
    expect(binaryReplies(socket)).toHaveLength(1);
    expect(socket.ended as string).toBe("half");
  });
});

describe("messages that hold little", () => {
  test("empty ones are nothing", () => {
    const { server, socket } = connected();
    socket.room = 0;
    socket.send(frame(BINARY, request({ op: 10, value: Buffer.alloc(1000) })));
    const [session] = server.connections.sessions;
    const before = session!.heldBytes();
    const inFragments = Buffer.concat([frame(BINARY, "", { isLast: false }), frame(CONTINUATION, "")]);
    for (let i = 0; i < 50; i++) {
      socket.send(Buffer.concat(Array(1000).fill(frame(BINARY, ""))));
      socket.send(Buffer.concat(Array(1000).fill(inFragments)));
    }
    expect([session!.heldBytes() - before, socket.paused]).toEqual([0, false]);
  });

  test("many small ones that wait count for what they take, and are read only so far", () => {
    const { server, socket } = connected();
    socket.room = 0;
    const ping = request({ op: 10 });
    const small = Buffer.concat([
      frame(BINARY, ping.subarray(0, 2), { isLast: false }),
      frame(CONTINUATION, ping.subarray(2)),
    ]);
    const piece = Buffer.concat(Array(5000).fill(small));
    socket.send(frame(BINARY, request({ op: 10, value: Buffer.alloc(1000) })));
    socket.send(piece);
    expect(socket.paused).toBe(true);
    const [session] = server.connections.sessions;
    expect(session!.heldBytes()).toBeGreaterThan(256 * 1024);
    expect(session!.heldBytes()).toBeLessThan(256 * 1024 + piece.length + 5000);
  });
});

describe("a client that does not read", () => {
  test("is owed one pong, for the last of its pings", () => {
    const { socket } = connected();
    socket.room = 0;
    socket.send(frame(PING, "first"));
    const held = 3;
    for (let i = 0; i < 10_000; i++) socket.send(frame(PING, `${i}`));
    socket.take(Infinity);
    expect(received(socket).map(({ payload }) => payload.toString())).toEqual(["first", "9999"]);
    expect(socket.writes).toBeLessThan(held + 3);
  });

  test("whose small answer was not taken is waited for as long as it takes some", () => {
    const { server, socket } = connected();
    socket.send(frame(BINARY, request({ op: 2, key: "a", value: Buffer.alloc(1000) })));
    socket.room = 0;
    socket.send(frame(BINARY, request({ op: 1, key: "a" })));
    const [session] = server.connections.sessions;
    for (let looks = 0; looks < 5 * LOOKS_MAX; looks++) {
      if (looks % (LOOKS_MAX / 2) === 0) socket.take(1);
      expect(look(session!)).toBe(true);
    }
    socket.send(frame(BINARY, request({ op: 2, key: "b", value: Buffer.from("x") })));
    expect(server.store.get("b")).toBe(null);
    socket.take(Infinity);
    expect(server.store.get("b")?.toString()).toBe("x");
  });

  test("gets no pong behind our goodbye", () => {
    const { server, socket, closeCode } = connected();
    socket.room = 0;
    socket.send(frame(PING, "one"));
    socket.send(frame(PING, "two"));
    const [session] = server.connections.sessions;
    session!.withdraw("no longer");
    socket.take(Infinity);
    expect(received(socket).map(({ opcode }) => opcode)).toEqual([PONG, CLOSE]);
    expect(closeCode()).toBe(4401);
  });

  test("is not answered on and on, and gets everything once it reads", async () => {
    const { server, socket } = connected();
    const value = Buffer.alloc(50_000, 1);
    socket.send(frame(BINARY, request({ op: 2, key: "a", value })));
    socket.room = 0;
    const batch = Buffer.concat(Array.from({ length: 100 }, () => request({ op: 1, key: "a" })));
    for (let i = 0; i < 5; i++) socket.send(frame(BINARY, batch));
    const [session] = server.connections.sessions;
    expect(session!.heldBytes()).toBeLessThan(600_000);
    while (session!.heldBytes() > 0) {
      socket.take(300_000);
      await nextTurn();
    }
    expect(binaryReplies(socket)).toEqual([{ status: "OK" }, ...Array(500).fill({ status: "VALUE", value })]);
  });
});

test("the answers to random messages are the same, however they are framed, cut and read", async () => {
  const random = new Random(5);
  const key = () => random.pick(["a", "b", "c"]);
  const value = () => random.bytes(random.pick([0, 1, 64, 300, 5000, 60_000]));
  const one = () =>
    random.pick([
      () => request({ op: 1, key: key() }),
      () => request({ op: 2, key: key(), value: value() }),
      () => request({ op: 3, key: key() }),
      () => request({ op: 10, value: value() }),
      () => request({ op: 0x55 }),
    ])();
  const message = (): [opcode: number, payload: Buffer] =>
    random.below(5) === 0
      ? [TEXT, Buffer.from(JSON.stringify({ op: "get", key: key(), id: "ü" }))]
      : [BINARY, Buffer.concat(Array.from({ length: random.below(30) }, one))];
  /** As one frame, or as some, with pings between. */
  const framed = ([opcode, payload]: [number, Buffer]): Buffer[] => {
    const frames: Buffer[] = [];
    for (let at = 0; ;) {
      const end =
        random.below(3) === 0 ? payload.length : Math.min(payload.length, at + random.below(70_000));
      const options = { isLast: end === payload.length, mask: random.bytes(4) };
      frames.push(
        frame(at === 0 && frames.length === 0 ? opcode : CONTINUATION, payload.subarray(at, end), options),
      );
      if (options.isLast) return frames;
      if (random.below(3) === 0) frames.push(frame(PONG, "x"));
      at = end;
    }
  };
  const contentOf = (socket: KernelSocket) =>
    received(socket).map(({ opcode, payload }) => (opcode === TEXT ? payload : replies(payload)));
  for (let round = 0; round < 40; round++) {
    const messages = Array.from({ length: 1 + random.below(8) }, message);
    const whole = connected();
    for (const [opcode, payload] of messages) whole.socket.send(frame(opcode, payload));
    await settled(whole);
    const cut = connected();
    cut.socket.room = 500;
    const bytes = Buffer.concat(messages.flatMap(framed));
    for (let at = 0; at < bytes.length;) {
      const length = 1 + random.below(random.pick([1, 10, 5000, 200_000]));
      cut.socket.send(bytes.subarray(at, at + length));
      cut.socket.take(random.below(2000));
      at += length;
      if (random.below(4) === 0) await nextTurn();
    }
    await settled(cut);
    expect(contentOf(cut.socket).flat()).toEqual(contentOf(whole.socket).flat());
  }
});

/** Reads until nothing more is to come. */
async function settled({ server, socket }: ReturnType<typeof connected>): Promise<void> {
  const [session] = server.connections.sessions;
  for (let quiet = 0; quiet < 3; quiet++) {
    const before = socket.writes;
    socket.take(1_000_000);
    await nextTurn();
    if (socket.writes > before || session!.heldBytes() > 0) quiet = 0;
  }
}
