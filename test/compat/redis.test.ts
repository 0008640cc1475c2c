/** Redis itself is asked the same as the Upstash dialect: replies, errors, and what is left behind are the same. */
import { expect } from "bun:test";
import { type DialectServer, startDialects } from "../http/dialects/support";
import { missingCommands, testThatNeeds } from "../support/needs";
import { Random } from "../support/random";
import { FLOAT_KEYS, KEYS, RedisCommands, START_MS, STEP_MS } from "./redis-commands";
import { type Answer, RedisServer } from "./redis-server";

const SEEDS = [1, 2, 3, 4];
const ROUNDS = 25;
const COMMANDS_IN_A_ROUND = 100;
/** Replies that are times, and their unit, ms. */
const TIMES: ReadonlyMap<string, number> = new Map([
  ["TTL", 1000],
  ["PTTL", 1],
  ["EXPIRETIME", 1000],
  ["PEXPIRETIME", 1],
]);

/** What every key holds in the end, and for how long. */
const LOOK = [
  ["MGET", ...KEYS, ...FLOAT_KEYS],
  ...[...KEYS, ...FLOAT_KEYS].map((key) => ["PTTL", key]),
  ["KEYS", "*"],
];

testThatNeeds(
  missingCommands("redis-server"),
  "random commands are answered as Redis answers them, and leave the same behind",
  async () => {
    const dialects = await startDialects();
    const redis = await RedisServer.start();
    try {
      for (const seed of SEEDS) await compare(dialects, redis, seed);
    } finally {
      await redis.stop();
      expect(await dialects.server.stop()).toBe(0);
    }
  },
);

async function compare(dialects: DialectServer, redis: RedisServer, seed: number): Promise<void> {
  const random = new RedisCommands(new Random(seed));
  for (let round = 0; round < ROUNDS; round++) {
    const some = Array.from({ length: COMMANDS_IN_A_ROUND }, () => random.next());
    const commands = [["FLUSHALL"], ...some, ...LOOK];
    const ours = await pipeline(dialects, commands);
    for (const [i, command] of commands.entries()) {
      const theirs = comparable(command, await redis.ask(command));
      expect({ seed, round, i, command, answer: ours[i] }).toEqual({
        seed,
        round,
        i,
        command,
        answer: theirs,
      });
    }
  }
}

async function pipeline({ call }: DialectServer, commands: string[][]): Promise<Answer[]> {
  const response = await call("/upstash/pipeline", {
    method: "POST",
    body: JSON.stringify(commands),
    headers: { "Upstash-Encoding": "base64" },
  });
  const answers = JSON.parse(await response.text(), exactly) as Answer[];
  return commands.map((command, i) => comparable(command, answers[i]!));
}

/** Numbers that a double cannot hold, as their text. */
function exactly(_: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" && !Number.isSafeInteger(value) ? context?.source : value;
}

/** Without what may differ: less than a step of time, the order of keys, and which of them are in a page of SCAN. */
function comparable([name]: string[], answer: Answer): Answer {
  if ("error" in answer) return answer;
  const { result } = answer;
  const unit = TIMES.get(name!.toUpperCase());
  if (unit !== undefined && typeof result === "number" && result > 0)
    return { result: Math.round((result * unit - (/TIME$/i.test(name!) ? START_MS : 0)) / STEP_MS) };
  if (/^keys$/i.test(name!)) return { result: (result as string[]).sort() };
  if (/^scan$/i.test(name!)) return { result: "a page" };
  return answer;
}
