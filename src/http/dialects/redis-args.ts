/** The arguments of a Redis command, and how Redis reads them: its numbers, its times and its options, with its words for what is wrong. */
import { TouchIf } from "../../commands/commands";

/** What Redis answers to a command that it cannot execute; it has changed nothing. */
export class RedisError extends Error {
  override name = "RedisError";
}

export const SYNTAX_ERROR = "ERR syntax error";
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";

const I64_MAX = 2n ** 63n - 1n;
const I64_MIN = -(2n ** 63n);
/** Times beyond this cannot be counted in milliseconds. */
const TIME_MS_MAX = Number.MAX_SAFE_INTEGER;

/** Texts as JSON has them, or bytes of a body. */
export type Argument = string | Buffer;

export class Arguments {
  constructor(
    /** In lower case. */
    readonly command: string,
    private readonly all: readonly Argument[],
  ) {}

  get count(): number {
    return this.all.length;
  }

  text(index: number): string {
    return this.all[index]!.toString();
  }

  bytes(index: number): Buffer {
    const argument = this.all[index]!;
    return typeof argument === "string" ? Buffer.from(argument, "utf8") : argument;
  }

  texts(from = 0): string[] {
    return this.all.slice(from).map(String);
  }

  /** A 64-bit number, written as Redis writes one. */
  i64(index: number): bigint {
    const text = this.text(index);
    if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) throw new RedisError(NOT_AN_INTEGER);
    const number = BigInt(text);
    if (number > I64_MAX || number < I64_MIN) throw new RedisError(NOT_AN_INTEGER);
    return number;
  }

  /** The same where numbers beyond 2^53 mean no more than that. */
  integer(index: number): number {
    return Number(this.i64(index));
  }

  wrongCount(): RedisError {
    return new RedisError(`ERR wrong number of arguments for '${this.command}' command`);
  }

  private badTime(): RedisError {
    return new RedisError(`ERR invalid expire time in '${this.command}' command`);
  }

  /** Milliseconds from now, of a time in a unit; what is given as a moment is counted from the system's clock. */
  time(index: number, unit: TimeUnit): number {
    const { factor, isMoment } = TIME_UNITS[unit];
    const ms = this.integer(index) * factor - (isMoment ? Date.now() : 0);
    if (Math.abs(ms) > TIME_MS_MAX) throw this.badTime();
    return ms;
  }

  /** The same for a value that is stored or read: a time of 0 or less, or a moment before 1970, is an error there. */
  positiveTime(index: number, unit: TimeUnit): number {
    if (this.integer(index) <= 0) throw this.badTime();
    return this.time(index, unit);
  }
}

/** A command and its arguments, its name first. */
export function argumentsFrom([name, ...rest]: readonly Argument[]): Arguments {
  return new Arguments(name!.toString().toLowerCase(), rest);
}

const TIME_UNITS = {
  EX: { factor: 1000, isMoment: false },
  PX: { factor: 1, isMoment: false },
  EXAT: { factor: 1000, isMoment: true },
  PXAT: { factor: 1, isMoment: true },
} as const;
export type TimeUnit = keyof typeof TIME_UNITS;

function isTimeUnit(word: string): word is TimeUnit {
  return Object.hasOwn(TIME_UNITS, word);
}

/** Options of SET and GETEX: which words, and when the entry expires. */
export interface Options {
  readonly words: ReadonlySet<string>;
  /** Milliseconds from now; null where no time is given. */
  readonly ttlMs: number | null;
}

/**
 * Reads the options behind the arguments of a command. Of a time that is given twice in one unit, the last counts.
 * @param words those that it knows beside the times
 * @param groups of each of these, and of all times, only one may be given; a word that is a time's rival is in a group with "time"
 */
export function optionsOf(
  args: Arguments,
  from: number,
  words: readonly string[],
  groups: readonly (readonly string[])[],
): Options {
  const seen = new Set<string>();
  let time: { index: number; unit: TimeUnit } | undefined;
  for (let at = from; at < args.count; at++) {
    const word = args.text(at).toUpperCase();
    if (words.includes(word)) seen.add(word);
    else if (isTimeUnit(word) && (time?.unit ?? word) === word && at + 1 < args.count)
      time = { index: ++at, unit: word };
    else throw new RedisError(SYNTAX_ERROR);
  }
  const given = new Set([...seen, ...(time === undefined ? [] : ["time"])]);
  if (groups.some((group) => group.filter((word) => given.has(word)).length > 1))
    throw new RedisError(SYNTAX_ERROR);
  return { words: seen, ttlMs: time === undefined ? null : args.positiveTime(time.index, time.unit) };
}

/** The options of EXPIRE and its like, as bits of TouchIf. */
export function touchIfOf(args: Arguments, from: number): number {
  let bits = 0;
  for (const word of args.texts(from)) {
    const bit = TOUCH_WORDS.get(word.toUpperCase());
    if (bit === undefined) throw new RedisError(`ERR Unsupported option ${word.slice(0, 64)}`);
    bits |= bit;
  }
  const { NO_EXPIRY, LATER, EARLIER } = TouchIf;
  if (bits & NO_EXPIRY && bits !== NO_EXPIRY)
    throw new RedisError("ERR NX and XX, GT or LT options at the same time are not compatible");
  if (bits & LATER && bits & EARLIER)
    throw new RedisError("ERR GT and LT options at the same time are not compatible");
  return bits;
}

const TOUCH_WORDS: ReadonlyMap<string, number> = new Map([
  ["NX", TouchIf.NO_EXPIRY],
  ["XX", TouchIf.EXPIRES],
  ["GT", TouchIf.LATER],
  ["LT", TouchIf.EARLIER],
]);
