/** A connection's requests and answers, in process: wherever the input is cut, and however little the client reads. */
import { describe, expect, setSystemTime, test } from "bun:test";
import { LOOKS_MAX, look } from "../../src/net/watch";
import { Random } from "../support/random";
import { LIMITS } from "../support/small-session";
import { httpAnswers, type KernelSocket, smallServer } from "../support/small-server";

const HOST = "Host: localhost\r\n";
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const get = (key: string, more = "") => `GET /get?key=${key} HTTP/1.1\r\n${HOST}${more}\r\n`;
const put = (key: string, value: string, more = "") => {
  const body = JSON.stringify({ key, value });
  return `POST /put HTTP/1.1\r\n${HOST}Content-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;
};
const putRaw = (key: string, value: string) =>
  `PUT /kv/${key} HTTP/1.1\r\n${HOST}Content-Length: ${value.length}\r\n\r\n${value}`;
const chunked = (method: string, path: string, pieces: string[]) =>
  `${method} ${path} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n` +
  `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("")}0\r\n\r\n`;
const batch = (...requests: object[]) => {
  const body = JSON.stringify(requests);
  return `POST /batch HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`;
};

const statuses = (text: string) => httpAnswers(text).map(({ status }) => status);
const values = (text: string) =>
  httpAnswers(text).map(({ body }) => /"value":"([^"]*)"/.exec(body)?.[1] ?? null);

/** Everything that is sent at once, one request behind the other. */
function randomRequests(random: Random): { text: string; heads: Set<number>; count: number } {
  const heads = new Set<number>();
  const key = () => random.pick(["a", "b", "c%20d", "%C3%A9", "e/f"]);
  const value = () => "v".repeat(random.pick([0, 1, 63, 64, 300, 5000, 40_000, 90_000]));
  const odd = () => random.pick(['"', "\\", "ü", "\n", ""]).repeat(random.below(5)) + value();
  const kinds: (() => string)[] = [
    () => get(key()),
    () => get(key()),
    () => put(decodeURIComponent(key()), odd()),
    () => putRaw(key(), value()),
    () =>
      chunked(
        "PUT",
        `/kv/${key()}`,
        [value().slice(0, 40_000), "middle", value().slice(0, 40_000)].filter((piece) => piece !== ""),
      ),
    () => chunked("POST", "/put", ['{"key":"a",', '"value":"in pieces"}']),
    () => `GET /kv/${key()} HTTP/1.1\r\n${HOST}\r\n`,
    () => `DELETE /kv/${key()} HTTP/1.1\r\n${HOST}\r\n`,
    () => `GET /nowhere HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`,
    () => `POST /get HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`,
    () => chunked("POST", "/nowhere", ["x", "yz"]),
    () => put("a", "b", "Origin: https://stranger.example\r\n"),
    () => get(key(), "Origin: https://ok.example\r\n"),
    () => "\r\n" + get("?"),
    () => `PUT /kv/${"k".repeat(200)} HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nxx`,
    () => batch({ op: "get", key: "a" }, { op: "put", key: "b", value: "batched" }),
    () => putRaw("a", "x".repeat(LIMITS.valueBytesMax + 1)),
  ];
  let text = "";
  const count = 5 + random.below(25);
  for (let number = 0; number < count; number++) {
    if (random.below(8) === 0) {
      heads.add(number);
      text += `HEAD /kv/${key()} HTTP/1.1\r\n${HOST}\r\n`;
    } else text += random.pick(kinds)();
  }
  return { text, heads, count };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds(); turns++) {
    if (turns > 10_000) throw new Error("it never came");
    await nextTurn();
  }
}

/** What comes back; the time apart. */
async function answersTo(
  text: string,
  last: string,
  feed: (socket: KernelSocket, bytes: Buffer) => Promise<void>,
) {
  const server = smallServer();
  const socket = server.connect();
  await feed(socket, Buffer.from(text + last));
  await until(() => socket.ended !== null);
  expect(server.faults).toEqual([]);
  return socket.text.replaceAll(/Date: [^\r]*/g, "Date: then");
}

test("the answers to random requests are the same, however they are cut and read", async () => {
  const random = new Random(7);
  const last = get("a", "Connection: close\r\n");
  for (let round = 0; round < 60; round++) {
    const { text, heads, count } = randomRequests(random);
    const whole = await answersTo(text, last, async (socket, bytes) => socket.send(bytes));
    expect(httpAnswers(whole, (number) => heads.has(number))).toHaveLength(count + 1);
    const inPieces = await answersTo(text, last, async (socket, bytes) => {
      for (let at = 0; at < bytes.length;) {
        const length = 1 + random.below(random.pick([1, 20, 3000, 70_000]));
        // What is sent to a socket that reads no more waits in the kernel.
        await until(() => !socket.paused);
        socket.send(bytes.subarray(at, at + length));
        at += length;
        if (random.below(4) === 0) await nextTurn();
      }
    });
    expect(inPieces === whole).toBe(true);
    const readSlowly = await answersTo(text, last, async (socket, bytes) => {
      socket.room = 0;
      socket.send(bytes);
      while (socket.ended === null) {
        socket.take(1 + random.below(random.pick([10, 30_000, 100_000])));
        await nextTurn();
      }
    });
    expect(readSlowly === whole).toBe(true);
  }
});

describe("one behind the other", () => {
  test("requests that came together are answered together", () => {
    const socket = smallServer().connect();
    socket.send(put("a", "1") + get("a") + put("a", "2") + get("a"));
    expect(values(socket.text)).toEqual([null, "1", null, "2"]);
    expect(socket.writes).toBe(1);
  });

  test("very many are answered in turns: others come in between, and reports count for many", async () => {
    const { connect } = smallServer();
    const [flood, other] = [connect(), connect()];
    const count = () => httpAnswers(flood.text).length;
    flood.send(get("a").repeat(2000));
    expect(count()).toBe(256);
    other.send(get("a"));
    expect(statuses(other.text)).toEqual([404]);
    flood.send(get("a").repeat(1000));
    flood.sendEnd();
    for (let answered = count(); flood.ended === null; answered = count()) {
      await nextTurn();
      expect(count() - answered).toBeLessThanOrEqual(256);
    }
    expect([count(), flood.ended as string]).toEqual([3000, "whole"]);
    const reports = connect();
    reports.send(`GET /stats HTTP/1.1\r\n${HOST}\r\n`.repeat(100));
    expect(statuses(reports.text)).toEqual([200, 200]);
  });

  test("one whose answer takes a while holds up those behind it", async () => {
    const socket = smallServer().connect();
    socket.send(
      put("a", "1") + batch(...Array.from({ length: 9000 }, () => ({ op: "get", key: "a" }))) + get("a"),
    );
    socket.send(put("a", "2") + get("a"));
    expect(statuses(socket.text)).toEqual([200]);
    await until(() => httpAnswers(socket.text).length === 5);
    expect(values(socket.text)).toEqual([null, "1", "1", null, "2"]);
  });

  test("a socket that was paused goes on when what is left is no whole request", async () => {
    const socket = smallServer().connect();
    const rest = "\r\n";
    socket.send(batch(...Array.from({ length: 9000 }, () => ({ op: "get", key: "a" }))));
    socket.send(get("a").repeat(2000) + get("a").slice(0, -rest.length));
    expect(socket.paused).toBe(true);
    await until(() => httpAnswers(socket.text).length === 2001);
    expect(socket.paused).toBe(false);
    socket.send(rest);
    expect(httpAnswers(socket.text)).toHaveLength(2002);
  });

  test("one that ends goes on to be read from, so that its last answer arrives", async () => {
    const socket = smallServer().connect();
    socket.send(batch(...Array.from({ length: 9000 }, () => ({ op: "get", key: "a" }))));
    socket.send("nonsense\r\n" + "x".repeat(100_000));
    expect(socket.paused).toBe(true);
    await until(() => socket.ended !== null);
    expect([statuses(socket.text), socket.paused, socket.ended]).toEqual([[200, 400], false, "half"]);
  });

  test("values that are copied and not sent count for the turn", () => {
    const server = smallServer();
    server.store.put("a", Buffer.alloc(99_000));
    const socket = server.connect();
    socket.send(`HEAD /kv/a HTTP/1.1\r\n${HOST}\r\n`.repeat(200));
    expect(httpAnswers(socket.text, () => true).length).toBeLessThan(30);
  });

  test("for a client that is gone nothing further is done", () => {
    const { connect, store, connections } = smallServer();
    const socket = connect();
    socket.isDead = true;
    // Its first answer is more than is gathered before it is sent.
    store.put("a", Buffer.alloc(60_000));
    socket.send(`GET /kv/a HTTP/1.1\r\n${HOST}\r\n` + putRaw("late", "x"));
    expect([store.get("late"), socket.ended, connections.streams.size]).toEqual([null, "cut", 0]);
  });

  test("empty lines are read over, however many, and are no request", () => {
    const server = smallServer();
    const socket = server.connect();
    for (let i = 0; i < 20; i++) socket.send("\r\n".repeat(50_000));
    const [stream] = server.connections.streams;
    expect([stream!.isBusy, stream!.heldBytes(), socket.ended]).toEqual([false, 0, null]);
    socket.send(`\r\n\r\n${get("a")}\r`);
    socket.send(`\n${get("a")}\r\n`);
    expect(statuses(socket.text)).toEqual([404, 404]);
    expect(stream!.isBusy).toBe(false);
  });

  test("while the client does not read, so much is read from it, and no more is answered", async () => {
    const { connections, connect } = smallServer();
    const socket = connect();
    socket.send(put("a", "x".repeat(2000)));
    socket.room = 0;
    socket.send(get("a").repeat(2000) + batch({ op: "ping" }));
    expect(socket.paused).toBe(true);
    const [stream] = connections.streams;
    expect(stream!.heldBytes()).toBeLessThan(300_000);
    while (stream!.isBusy) {
      socket.take(100_000);
      await nextTurn();
    }
    await until(() => !socket.paused);
    const answers = values(socket.text).slice(1, -1);
    expect([answers.length, new Set(answers).size, answers[0]?.length]).toEqual([2000, 1, 2000]);
  });
});

test("requests of several connections, each cut anywhere, do not mix", () => {
  const { connect, store } = smallServer();
  const names = ["a", "b", "c", "d"];
  const requests = names.map((name) => putRaw(name, name.repeat(50)) + get(name));
  for (let cut = 1; cut < requests[0]!.length; cut += 3) {
    const sockets = names.map(() => connect());
    sockets.forEach((socket, i) => socket.send(requests[i]!.slice(0, cut)));
    sockets.forEach((socket, i) => socket.send(requests[i]!.slice(cut)));
    sockets.forEach(({ text }, i) => expect(values(text)).toEqual([null, names[i]!.repeat(50)]));
  }
  for (const name of names) expect(store.get(name)?.toString()).toBe(name.repeat(50));
});

test("answers without a body say no length, and each has the time of its second", () => {
  const socket = smallServer().connect();
  const times = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"];
  const requests = [
    putRaw("a", "x"),
    get("a"),
    put("a", "y"),
    `GET /kv/a HTTP/1.1\r\n${HOST}\r\n`,
    get("none"),
    `DELETE /kv/a HTTP/1.1\r\n${HOST}\r\n`,
  ].join("");
  for (const time of times) {
    setSystemTime(new Date(time));
    socket.send(requests);
  }
  setSystemTime();
  const answers = httpAnswers(socket.text);
  expect(answers.map(({ head }) => /\r\nDate: ([^\r]*)/.exec(head)?.[1])).toEqual(
    times.flatMap((time) => Array(6).fill(time)),
  );
  for (const { status, head } of answers) expect(/Content-Length/.test(head)).toBe(status !== 204);
});

test("a value that is no text is answered as base64, wherever it is no text", () => {
  const { connect, store } = smallServer();
  const socket = connect();
  for (const bytes of [
    [0xff, 0xc3],
    [0x61, 0xc3],
    [0xed, 0xa0, 0x80],
    [0xc3, 0xa9, 0xa9],
  ]) {
    store.put("a", Buffer.from(bytes));
    const before = socket.text.length;
    socket.send(get("a"));
    expect(JSON.parse(httpAnswers(socket.text.slice(before))[0]!.body)).toEqual({
      status: "OK",
      key: "a",
      value: Buffer.from(bytes).toString("base64"),
      encoding: "base64",
    });
  }
});

describe("the connection after an answer", () => {
  /** Where the client may be sending on, half of it is closed: it has to read our answer before the rest goes. */
  const CASES: [request: string, ended: "half" | "whole" | null, said: string | null][] = [
    [get("a"), null, null],
    [get("a", "Connection: close\r\n"), "whole", "close"],
    [get("a", "Connection: keep-alive, CLOSE\r\n"), "whole", "close"],
    ["GET /get?key=a HTTP/1.0\r\n\r\n", "whole", "close"],
    ["GET /get?key=a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", null, "keep-alive"],
    [`POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`, null, null],
    [`POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 300000\r\n\r\n`, "half", "close"],
    [`POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n`, "half", "close"],
    [`POST /put HTTP/1.1\r\n${HOST}Content-Length: 9999999\r\n\r\n`, "half", "close"],
    [`POST /put HTTP/1.1\r\n${HOST}Content-Length: x\r\n\r\n`, "half", "close"],
    [`POST /put HTTP/1.1\r\n${HOST}Expect: a miracle\r\n\r\n`, "half", "close"],
    ["nonsense\r\n", "half", "close"],
  ];
  for (const [request, ended, said] of CASES)
    test(JSON.stringify(request.slice(0, 90)), () => {
      const socket = smallServer().connect();
      socket.send(request);
      const [answer] = httpAnswers(socket.text);
      expect(/\r\nConnection: (\S+)/.exec(answer!.head)?.[1] ?? null).toBe(said);
      expect(socket.ended).toBe(ended);
      socket.send(get("a"));
      expect(statuses(socket.text)).toHaveLength(ended === null ? 2 : 1);
    });

  test("bodies that nobody wants are skipped, announced or in chunks, whole or not", () => {
    const socket = smallServer().connect();
    socket.send(chunked("POST", "/nowhere", ["abc", "def"]) + get("a"));
    socket.send(`POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 6\r\n\r\nabc`);
    expect(statuses(socket.text)).toEqual([404, 404, 404]);
    socket.send(`def${get("a")}`);
    expect(statuses(socket.text)).toHaveLength(4);
  });
});

describe("Expect: 100-continue", () => {
  const head = `PUT /kv/a HTTP/1.1\r\n${HOST}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n`;

  test("is said when the body is wanted, before it is there", () => {
    const { connect, store } = smallServer();
    const socket = connect();
    socket.send(head);
    expect(socket.text).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    socket.send("abc");
    expect(statuses(socket.text)).toEqual([100, 204]);
    expect(store.get("a")?.toString()).toBe("abc");
  });

  test("is not said when the body came along, or is not wanted", () => {
    const { connect } = smallServer({ tokens: ["secret"] });
    const refused = connect();
    refused.send(head);
    expect([statuses(refused.text), refused.ended]).toEqual([[401], "half"]);
    const socket = smallServer().connect();
    socket.send(`${head}abc`);
    expect(statuses(socket.text)).toEqual([204]);
  });
});

describe("who sends no more", () => {
  test("still gets its answers", async () => {
    const socket = smallServer().connect();
    socket.room = 0;
    socket.send(put("a", "1") + batch({ op: "get", key: "a" }) + get("a"));
    socket.sendEnd();
    while (socket.ended === null) {
      socket.take(100);
      await nextTurn();
    }
    expect(statuses(socket.text)).toEqual([200, 200, 200]);
    expect(socket.ended).toBe("whole");
  });

  test("in the middle of a request: nothing is stored, nothing answered", () => {
    const { connect, store } = smallServer();
    for (const text of [
      "GET /get",
      putRaw("a", "abc").slice(0, -1),
      chunked("PUT", "/kv/a", ["abc"]).slice(0, -2),
    ]) {
      const socket = connect();
      socket.send(text);
      socket.sendEnd();
      expect([socket.text, socket.ended]).toEqual(["", "whole"]);
    }
    expect(store.get("a")).toBe(null);
  });
});

describe("the watch", () => {
  function looks(socket: KernelSocket, server: ReturnType<typeof smallServer>, ended = socket.ended): number {
    const [stream] = server.connections.streams;
    for (let count = 1; count <= 2 * LOOKS_MAX; count++) {
      look(stream!);
      if (ended === null ? socket.ended !== null : socket.ended === ended) return count;
    }
    return Infinity;
  }

  test("who sends nothing, and who waits for a next request, is closed without a word", () => {
    for (const text of ["", get("a")]) {
      const server = smallServer();
      const socket = server.connect();
      socket.send(text);
      const before = socket.text;
      expect(looks(socket, server)).toBe(LOOKS_MAX);
      expect([socket.text, socket.ended]).toEqual([before, "whole"]);
    }
  });

  test("who does not send its request to the end is told so, however often it sends a byte", () => {
    for (const text of ["GET /", `PUT /kv/a HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\na`]) {
      const server = smallServer();
      const socket = server.connect();
      socket.send(text);
      const [stream] = server.connections.streams;
      for (let count = 1; count < LOOKS_MAX; count++) {
        socket.send("x");
        expect(look(stream!)).toBe(true);
      }
      look(stream!);
      expect([statuses(socket.text), socket.ended]).toEqual([[408], "half"]);
    }
  });

  test("a large body may take longer, as long as enough of it comes", () => {
    const messageBytesMax = 4 << 20;
    const server = smallServer({ limits: { ...LIMITS, messageBytesMax } });
    const socket = server.connect();
    const chunk = Buffer.alloc(60_000, 120);
    socket.send(`POST /put HTTP/1.1\r\n${HOST}Content-Length: ${messageBytesMax}\r\n\r\n`);
    const [stream] = server.connections.streams;
    let left = messageBytesMax;
    for (; left > chunk.length; left -= chunk.length) {
      socket.send(chunk);
      for (let looks = 0; looks < 3; looks++) look(stream!);
    }
    expect(socket.text).toBe("");
    socket.send(chunk.subarray(0, left));
    expect(statuses(socket.text)).toEqual([400]);
  });

  test("who does not read its answer is cut off; who reads, however slowly, is not", () => {
    const server = smallServer();
    const socket = server.connect();
    socket.send(put("a", "x".repeat(50_000)));
    socket.room = 0;
    socket.send(get("a"));
    const [stream] = server.connections.streams;
    for (let count = 0; count < 3 * LOOKS_MAX; count++) {
      if (count % (LOOKS_MAX - 1) === 0) socket.take(10);
      expect(look(stream!)).toBe(true);
    }
    expect(looks(socket, server)).toBeLessThanOrEqual(LOOKS_MAX);
    expect(socket.ended).toBe("cut");
    expect(server.connections.streams.size).toBe(0);
  });

  test("after our last word a peer that stays is waited for, so that it can read that, and then left", () => {
    const server = smallServer();
    const socket = server.connect();
    socket.send("nonsense\r\n");
    expect(socket.ended).toBe("half");
    socket.send(get("a"));
    expect(looks(socket, server, "whole")).toBe(LOOKS_MAX);
    expect(statuses(socket.text)).toEqual([400]);
    expect(server.connections.streams.size).toBe(0);
  });
});

test("what follows a HEAD and is no request is refused with a body", () => {
  const socket = smallServer().connect();
  socket.send(`HEAD /get?key=a HTTP/1.1\r\n${HOST}Origin: https://ok.example\r\n\r\nnonsense\r\n`);
  const [head, refused] = httpAnswers(socket.text, (number) => number === 0);
  expect([head!.status, refused!.status, refused!.head.includes("Allow-Origin")]).toEqual([404, 400, false]);
  expect(refused!.body).toContain("no HTTP request");
});

test("who is answered already, and breaks the body that nobody wants, gets no second answer", () => {
  const socket = smallServer().connect();
  socket.send(`POST /nowhere HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nno size\r\n`);
  expect([statuses(socket.text), socket.ended]).toEqual([[404], "half"]);
});

test("who is answered already, and sends the rest of its body to nobody, is closed without another answer", () => {
  for (const end of ["timeout", "finish"] as const) {
    const server = smallServer();
    const socket = server.connect();
    socket.send(`POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\nabc`);
    const [stream] = server.connections.streams;
    if (end === "finish") server.connections.finish();
    else for (let count = 0; count < LOOKS_MAX; count++) look(stream!);
    expect([statuses(socket.text), socket.ended]).toEqual([[404], "half"]);
  }
});

describe("near the limit of open files", () => {
  test("who waits for a next request, or long for its first, is closed; who has just come, or is in one, is not", () => {
    const server = smallServer();
    const [silent, waiting, busy] = [server.connect(), server.connect(), server.connect()];
    waiting.send(get("a"));
    busy.send("GET /ge");
    server.connections.closeIdle();
    expect([silent.ended, waiting.ended, busy.ended]).toEqual([null, "whole", null]);
    for (const stream of server.connections.streams) look(stream);
    server.connections.closeIdle();
    expect([silent.ended as string, busy.ended]).toEqual(["whole", null]);
  });
});

describe("the end", () => {
  test("who waits is closed; a request under way is answered, and that it is the last is said", async () => {
    const server = smallServer();
    const [idle, half, busy] = [server.connect(), server.connect(), server.connect()];
    half.send(putRaw("a", "abc").slice(0, -1));
    busy.send(batch(...Array.from({ length: 9000 }, () => ({ op: "get", key: "a" }))));
    server.connections.finish();
    expect([idle.ended, half.ended, busy.ended]).toEqual(["whole", null, null]);
    expect(server.connections.isBusy).toBe(true);
    half.send("c");
    await until(() => busy.ended !== null);
    for (const socket of [half, busy]) {
      expect(socket.ended).toBe("whole");
      expect(httpAnswers(socket.text)[0]!.head).toContain("Connection: close");
    }
    expect(server.connections.isBusy).toBe(false);
  });

  test("a fault of ours is answered and told, and the connection goes on", () => {
    const server = smallServer();
    const socket = server.connect();
    const { commands } = server;
    const { report } = commands;
    commands.report = () => {
      throw new Error("broken");
    };
    socket.send(`GET /stats HTTP/1.1\r\n${HOST}\r\n`);
    commands.report = report;
    socket.send(`GET /stats HTTP/1.1\r\n${HOST}\r\n`);
    expect(statuses(socket.text)).toEqual([500, 200]);
    expect(server.faults).toHaveLength(1);
  });

  test("all that came in before is answered; who comes late is told to come again", async () => {
    const server = smallServer();
    const before = server.connect();
    before.send(put("a", "1") + get("a").repeat(600) + `GET /healthz HTTP/1.1\r\n${HOST}\r\n`);
    server.stopServing();
    server.connections.finish();
    await until(() => before.ended !== null);
    expect(values(before.text).filter((value) => value === "1")).toHaveLength(600);
    expect(httpAnswers(before.text).at(-1)).toMatchObject({
      status: 503,
      head: expect.stringContaining("Connection: close"),
    });
    const socket = server.connect();
    socket.send(get("a"));
    expect(socket.ended).toBe("whole");
    expect(socket.text).toMatch(/^HTTP\/1.1 503 .*\r\nRetry-After: 1\r\n/s);
  });

  test("a client that is gone while its answer is made, or waits to be read, leaves nothing behind", async () => {
    const server = smallServer();
    const socket = server.connect();
    socket.send(batch(...Array.from({ length: 9000 }, () => ({ op: "get", key: "a" }))));
    socket.terminate();
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect([server.connections.streams.size, server.faults, socket.text]).toEqual([0, [], ""]);
  });
});

test("what a browser's page may read: the header lines of its origin, on every answer, once", () => {
  const socket = smallServer().connect();
  const origin = "Origin: https://ok.example\r\n";
  const type = "Content-Type: application/json\r\n";
  socket.send(put("a", "1", origin + type) + get("a", origin) + get("none", origin));
  socket.send(`GET /kv/a HTTP/1.1\r\n${HOST}${origin}\r\n` + get("a"));
  const heads = httpAnswers(socket.text).map(({ head }) => head.match(/Access-Control-Allow-Origin: \S+/g));
  expect(heads).toEqual([...Array(4).fill(["Access-Control-Allow-Origin: https://ok.example"]), null]);
});
