/**
 * Random commands for strings, right ones and wrong ones, all from one seed. Left out is what the documentation of the dialect calls different
 * (times beyond 2^53 ms, wrong times of GETEX, floats of many digits), cursors that Redis takes only because it does not look closely, and
 * DBSIZE, which counts there what has expired already.
 */
import type { Random } from "../support/random";

export const KEYS = ["a", "b", "n", "t:1", "t:2", "größe", "", "[x]", "*", "a\nb"];
/** Only these are counted up by floats. */
export const FLOAT_KEYS = ["f:1", "f:2"];

const I64 = ["9223372036854775807", "9223372036854775806", "-9223372036854775808", "9007199254740993"];
const BEYOND_I64 = ["9223372036854775808", "-9223372036854775809", "99999999999999999999999"];
const NO_NUMBERS = ["007", "+1", " 1", "1 ", "1e3", "1.5", "", "x", "-0", "0x10", "--1", "-", "NaN", "1\0"];
const NUMBERS = ["0", "1", "-1", "5", "-5", "10", "100", ...I64, ...BEYOND_I64, ...NO_NUMBERS];
const VALUES = ["", "x", "hello world", "größe ✓", "\0\x01", "42", "x".repeat(300), '"', "😀", ...NUMBERS];
const FLOATS = [
  "0.1",
  "0.2",
  "-0.3",
  "1.5",
  "3",
  "-2.50",
  ".5",
  "2.",
  "1e-3",
  "-1E0",
  "x",
  "",
  " 1",
  "1e",
  ".",
];
const PATTERNS = [
  ...[
    "*",
    "a*",
    "t:?",
    "[abc]",
    "\\*",
    "[^a]",
    "",
    "*:*",
    "[a",
    "[x]",
    "\\[x]",
    "a\n*",
    "??",
    "[c-a]",
    "[]a",
    "[^]*",
    "[a-",
    "[a-]",
    "*[a-t]?",
    "**1",
    "[^a-c\\-]",
    "a\\",
  ],
];
const WRONG_TIMES = ["0", "-1", "x", "1.5", "", "01", "+5", " 5", "9223372036854775808"];
const UNITS = ["EX", "PX", "EXAT", "PXAT"] as const;
/** Times are whole numbers of steps; moments are counted from the start, in ms. */
export const STEP_MS = 1e8;
export const START_MS = Math.floor(Date.now() / 1000) * 1000;
/** Two primes: so many times are all different, and in no order. */
const TIMES_MAX = 10_007;
const SCATTER = 7919;
type Unit = (typeof UNITS)[number];
const EXPIRES: Record<string, Unit> = { EXPIRE: "EX", PEXPIRE: "PX", EXPIREAT: "EXAT", PEXPIREAT: "PXAT" };

export class RedisCommands {
  /** How many times have been given. */
  private times = 0;
  private readonly kinds: (() => string[])[] = [
    () => [this.pick("GET", "GETDEL", "STRLEN", "TYPE"), this.key()],
    () => [this.pick("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST"), this.key()],
    () => ["SET", this.key(), this.value(), ...this.options(["NX", "XX", "GET", "KEEPTTL"], true)],
    () => ["SET", this.key(), this.value(), ...this.options(["NX", "XX", "GET", "KEEPTTL"], true)],
    () => ["SETEX", this.key(), this.time("EX"), this.value()],
    () => ["PSETEX", this.key(), this.time("PX"), this.value()],
    () => [this.pick("SETNX", "GETSET", "APPEND"), this.key(), this.value()],
    () => ["GETEX", this.key(), ...this.options(["PERSIST"], false)],
    () => [this.pick("MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"), ...this.some(() => [this.key()])],
    () => [this.pick("MSET", "MSETNX"), ...this.some(() => [this.key(), this.value()])],
    () => this.expire(),
    () => this.expire(),
    () => [this.pick("INCR", "DECR"), this.key()],
    () => [this.pick("INCRBY", "DECRBY"), this.key(), this.number()],
    () => ["INCRBYFLOAT", this.pick(...FLOAT_KEYS), this.pick(...FLOATS)],
    () => [this.pick("GETRANGE", "SUBSTR"), this.key(), this.number(), this.number()],
    () => [
      "SETRANGE",
      this.key(),
      this.pick("0", "1", "5", "20", "-1", "x", "+1", "99999999999"),
      this.value(),
    ],
    () => ["KEYS", this.pick(...PATTERNS)],
    () => this.scan(),
    () => [this.pick("ECHO", "PING"), ...(this.oneIn(9) ? [] : [this.value()])],
  ];

  constructor(private readonly random: Random) {}

  next(): string[] {
    const command = this.pick(...this.kinds)();
    command[0] = this.inSomeCase(command[0]!);
    if (!this.oneIn(12)) return command;
    // Too few arguments, or one too many.
    return this.oneIn(2)
      ? command.slice(0, 1 + this.random.below(command.length))
      : [...command, this.pick("", "x")];
  }

  private expire(): string[] {
    const name = this.pick(...Object.keys(EXPIRES));
    const words: string[] = Array.from({ length: this.random.below(3) }, () =>
      this.pick("NX", "XX", "GT", "LT"),
    );
    if (this.oneIn(9)) words.push("ZZ");
    return [name, this.key(), this.time(EXPIRES[name]!), ...words.map((word) => this.inSomeCase(word))];
  }

  private scan(): string[] {
    const match = this.oneIn(2) ? ["MATCH", this.pick(...PATTERNS)] : [];
    const type = this.oneIn(4) ? ["TYPE", this.pick("string", "list", "STRING")] : [];
    const count = ["COUNT", this.oneIn(5) ? this.pick("0", "-1", "x", "") : "1000"];
    return ["SCAN", this.oneIn(9) ? "x" : "0", ...match, ...count, ...type];
  }

  private options(words: string[], mayBeWrong: boolean): string[] {
    const options = Array.from({ length: this.random.below(4) }, () => {
      const word = this.pick(...words, ...UNITS);
      const unit = UNITS.find((unit) => unit === word);
      const name = this.inSomeCase(word);
      if (unit === undefined || (mayBeWrong && this.oneIn(20))) return [name];
      return [name, mayBeWrong ? this.time(unit) : this.rightTime(unit)];
    });
    if (this.oneIn(20)) options.push([this.pick("BAD", "", "NX ")]);
    return options.flat();
  }

  private time(unit: Unit): string {
    return this.oneIn(4) ? this.pick(...WRONG_TIMES) : this.rightTime(unit);
  }

  /** Of whole steps, so that nothing expires by itself meanwhile, and no two alike, so that GT and LT do not depend on the clock. */
  private rightTime(unit: Unit): string {
    const steps = 1 + ((this.times++ * SCATTER) % TIMES_MAX);
    const isMoment = unit.endsWith("AT");
    const isPast = isMoment && this.oneIn(4);
    const ms = (isMoment ? START_MS : 0) + (isPast ? -steps : steps) * STEP_MS;
    return String(ms / (unit.startsWith("E") ? 1000 : 1));
  }

  private inSomeCase(word: string): string {
    return this.pick(word, word.toLowerCase(), word.slice(0, 1) + word.slice(1).toLowerCase());
  }

  private key(): string {
    return this.pick(...KEYS);
  }

  private value(): string {
    return this.pick(...VALUES);
  }

  private number(): string {
    return this.pick(...NUMBERS);
  }

  private some(make: () => string[]): string[] {
    return Array.from({ length: 1 + this.random.below(4) }, make).flat();
  }

  private oneIn(count: number): boolean {
    return this.random.below(count) === 0;
  }

  private pick<Item>(...items: Item[]): Item {
    return this.random.pick(items);
  }
}
