/**
 * A connection through whatever may happen to it, in random order: requests, deadlines, signals, replies, garbage, ends and
 * failed attempts. After every step the invariants hold; no answer is ever another request's; every promise ends.
 */
import { expect, test } from "bun:test";
import type { Cache } from "../../src/client/cache";
import { CacheError } from "../../src/client/errors";
import { Random } from "../support/random";
import { connected } from "./fake-connection";
import type { FakeSocket } from "./fake-runtime";
import { number, requestsIn, value } from "./wire-replies";

const RUNS = 60;
const STEPS = 250;
const ENDS = [1000, 1001, 1006, 1006, 1006, 1009, 1011, 1013, 1013];

interface Walk {
  cache: Cache;
  random: Random;
  outcomes: Promise<string>[];
  abort: AbortController;
}

/** What came of a request: "right", a code, or what is wrong. */
async function outcomeOf(promise: Promise<unknown>, wanted: unknown): Promise<string> {
  try {
    const got = await promise;
    return got === wanted ? "right" : `wrong: ${String(got)} for ${String(wanted)}`;
  } catch (error) {
    return error instanceof CacheError ? error.code : `fault: ${(error as Error).message}`;
  }
}

function ask({ cache, random, outcomes, abort }: Walk): void {
  const key = `k${random.below(1_000_000)}`;
  const options = {
    ...(random.below(3) === 0 && { timeoutMs: 1 + random.below(400) }),
    ...(random.below(3) === 0 && { signal: abort.signal }),
  };
  if (random.below(2) === 0) outcomes.push(outcomeOf(cache.get(key, options), `value of ${key}`));
  else
    outcomes.push(
      outcomeOf(cache.put(key, "v", { ...options, retry: random.below(2) === 0 }), Number(key.slice(1)) + 1),
    );
}

/** Answers the next requests that this socket was sent. */
function answer(socket: FakeSocket, answered: number, count: number): number {
  const asked = socket.sent.flatMap((message) => requestsIn(message)).slice(answered, answered + count);
  const replies = asked.map(({ op, key }) => {
    if (op === 10) return value("");
    return op === 1 ? value(`value of ${key}`) : number(BigInt(key.slice(1)) + 1n);
  });
  if (replies.length > 0) socket.receive(Buffer.concat(replies));
  return answered + asked.length;
}

test("whatever happens, in any order", async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = new Random(seed);
    const { cache, sockets, settleDown, pass } = await connected({
      timeoutMs: 500,
      heartbeatMs: 300,
      reconnectMinMs: 20,
      reconnectMaxMs: 200,
      connectTimeoutMs: 100,
      closeTimeoutMs: 400,
      inFlightRequestsMax: 8,
      waitingMax: 20,
      messageBytesMax: 1024,
      failFast: seed % 2 === 0,
    });
    const walk: Walk = { cache, random, outcomes: [], abort: new AbortController() };
    const answered = new Map<FakeSocket, number>();
    const answerSome = (socket: FakeSocket) =>
      answered.set(socket, answer(socket, answered.get(socket) ?? 0, 1 + random.below(6)));
    const steps: (() => unknown)[] = [
      ...Array.from({ length: 5 }, () => () => ask(walk)),
      ...Array.from({ length: 4 }, () => () => sockets.last.state === "open" && answerSome(sockets.last)),
      ...Array.from({ length: 3 }, () => () => sockets.last.state === "connecting" && sockets.last.open()),
      () => sockets.last.state !== "closed" && sockets.last.end(random.pick(ENDS)),
      () =>
        sockets.last.state === "open" &&
        random.below(3) === 0 &&
        sockets.last.receive(Buffer.of(0x20 + random.below(0x50))),
      () => {
        walk.abort.abort();
        walk.abort = new AbortController();
      },
      // A socket of before has something to say.
      () => answerSome(random.pick(sockets.made)),
      () => pass(random.below(150)),
      () => pass(random.below(600)),
    ];
    for (let step = 0; step < STEPS; step++) {
      await random.pick(steps)();
      await settleDown();
    }
    const closing = cache.close();
    await settleDown();
    if (random.below(2) === 0) sockets.last.end(1000);
    await pass(5000);
    await closing;
    for (const outcome of await Promise.all(walk.outcomes)) seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
  }
  const wrong = [...seen.keys()].filter((outcome) => /^(wrong|fault)/.test(outcome));
  expect(wrong).toEqual([]);
  // The walk went everywhere.
  for (const outcome of [
    "right",
    "timeout",
    "aborted",
    "disconnected",
    "overloaded",
    "closed",
    "not-connected",
  ])
    expect(seen.get(outcome)).toBeGreaterThan(0);
}, 60_000);
