/**
 * Redis's commands for strings, over the same Commands as everything else, with Redis's replies and its words for errors. What Redis
 * does as one operation is one here, for each key; a command for several keys takes them one after the other.
 *
 * A command is a function of its arguments, or a generator where it takes long: each yield is a place to serve others.
 */
import type { Access } from "../../commands/access";
import {
  ANY_VERSION,
  type Commands,
  Condition,
  type HashedKey,
  Outcome,
  TouchIf,
  type ValueSink,
  type Write,
} from "../../commands/commands";
import { step } from "../../commands/calls";
import { type Quota, quotaError } from "../../commands/quota";
import { RequestError } from "../../protocol/errors";
import { clearKeys, keyPages } from "./all-keys";
import { decimalFrom, decimalText } from "./decimal";
import { Glob } from "./glob";
import { rootOf } from "./keys";
import {
  Arguments,
  NOT_AN_INTEGER,
  optionsOf,
  RedisError,
  SYNTAX_ERROR,
  type TimeUnit,
  touchIfOf,
} from "./redis-args";

/** Bytes are a bulk string, and texts a simple one. */
export type Reply = null | number | bigint | string | Buffer | readonly Reply[];
type Running = Generator<void, Reply>;
type Run = (redis: Redis, args: Arguments) => Reply | Running;

interface Command {
  /** How many arguments it takes. */
  readonly min: number;
  readonly max: number;
  readonly run: Run;
  /** Its reply can be longer than the request: it reads and changes nothing, or takes a value and changes it. */
  readonly large?: "reads" | "takes";
}

/** How often a value that others change meanwhile is read again before the client is told to. */
const TRIES_MAX = 100;
const SCAN_COUNT_DEFAULT = 10;
const KEYS_IN_A_ROW = 64;
const NAME_SHOWN_MAX = 128;
/** A longer one would keep others waiting while a page of keys is compared with it. */
const PATTERN_BYTES_MAX = 1024;

/** A value in a buffer of its own. */
class Value implements ValueSink {
  bytes: Buffer = Buffer.alloc(0);
  found = false;
  version = 0;

  begin(length: number, version: number): number {
    this.bytes = Buffer.allocUnsafe(length);
    this.found = true;
    this.version = version;
    return 0;
  }

  get reply(): Reply {
    return this.found ? this.bytes : null;
  }
}

/** What the commands of one request work with. */
export class Redis {
  /** What the keys of this client begin with. */
  readonly root: string;

  constructor(
    readonly commands: Commands,
    readonly access: Access,
    readonly quota: Quota,
  ) {
    this.root = rootOf(access, "upstash");
  }

  /** Executes a command, or begins to. Throws RedisError, RequestError, ShardBusyError. */
  run(args: Arguments): Reply | Running {
    return commandOf(args).run(this, args);
  }

  key(args: Arguments, index = 0): HashedKey {
    return this.commands.keyOf(this.root + args.text(index));
  }

  /** All of the arguments are keys that are going to be read. */
  expect(args: Arguments): void {
    if (this.commands.calls === null) return;
    const keys = Array.from({ length: args.count }, (_, at) => this.key(args, at));
    this.commands.expect(this.access, keys);
  }

  get(key: HashedKey): Value {
    const value = new Value();
    this.commands.get(this.access, key, value);
    return value;
  }

  has(key: HashedKey): boolean {
    return this.commands.info(this.access, key);
  }

  /** On the store's clock. */
  moment(ttlMs: number): number {
    return this.commands.now + ttlMs;
  }

  write(args: Arguments, index: number): Write {
    return this.commands.writeOf(args.bytes(index));
  }

  /** Stores for ever, unless the write says otherwise. */
  put(key: HashedKey, write: Write): boolean {
    return this.commands.putUntil(this.access, key, write) === Outcome.DONE;
  }

  /** Writes what `make` makes of the value that is there, unless somebody else has written it meanwhile: then once more. */
  update(key: HashedKey, make: (before: Value) => Buffer): void {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const before = this.get(key);
      const write = this.commands.writeOf(make(before));
      write.keepsExpiry = true;
      if (before.found) write.ifVersion = before.version;
      else write.condition = Condition.IF_ABSENT;
      if (this.put(key, write)) return;
    }
    throw new RequestError("BUSY", "the value is being changed by too many clients; try again");
  }
}

/** Whether a command is known, and takes so many arguments. Throws RedisError. */
export function commandOf(args: Arguments): Command {
  const command = COMMANDS.get(args.command);
  if (command === undefined)
    throw new RedisError(`ERR unknown command '${args.command.slice(0, NAME_SHOWN_MAX)}'`);
  if (args.count < command.min || args.count > command.max) throw args.wrongCount();
  return command;
}

/** What the reply to a command of this name can be; undefined where it is never long. */
export function largeReplyOf(name: string): Command["large"] {
  return COMMANDS.get(name)?.large;
}

function set(redis: Redis, args: Arguments): Reply {
  const { words, ttlMs } = optionsOf(
    args,
    2,
    ["NX", "XX", "GET", "KEEPTTL"],
    [
      ["NX", "XX"],
      ["KEEPTTL", "time"],
    ],
  );
  const write = redis.write(args, 1);
  if (ttlMs !== null) write.expiresAt = redis.moment(ttlMs);
  write.keepsExpiry = words.has("KEEPTTL");
  if (words.has("NX")) write.condition = Condition.IF_ABSENT;
  if (words.has("XX")) write.condition = Condition.IF_PRESENT;
  const previous = words.has("GET") ? new Value() : null;
  write.previous = previous;
  const stored = redis.put(redis.key(args), write);
  if (previous !== null) return previous.reply;
  return stored ? "OK" : null;
}

/** SETEX and PSETEX. */
function setWithTime(unit: TimeUnit): Run {
  return (redis, args) => {
    const ttlMs = args.positiveTime(1, unit);
    const write = redis.write(args, 2);
    write.expiresAt = redis.moment(ttlMs);
    redis.put(redis.key(args), write);
    return "OK";
  };
}

function setNx(redis: Redis, args: Arguments): Reply {
  const write = redis.write(args, 1);
  write.condition = Condition.IF_ABSENT;
  return redis.put(redis.key(args), write) ? 1 : 0;
}

function getSet(redis: Redis, args: Arguments): Reply {
  const write = redis.write(args, 1);
  const previous = new Value();
  write.previous = previous;
  redis.put(redis.key(args), write);
  return previous.reply;
}

function* mset(redis: Redis, args: Arguments): Running {
  if (args.count % 2 !== 0) throw args.wrongCount();
  for (let at = 0; at < args.count; at += 2) {
    yield* step(redis.commands, () => redis.put(redis.key(args, at), redis.write(args, at + 1)));
    if (isPause(at >> 1)) yield;
  }
  return "OK";
}

function* mget(redis: Redis, args: Arguments): Running {
  const values: Reply[] = [];
  let bytes = 0;
  redis.expect(args);
  for (let at = 0; at < args.count; at++) {
    const value = yield* step(redis.commands, () => redis.get(redis.key(args, at)));
    bytes += value.bytes.length;
    if (!redis.quota.hasRoomFor(bytes)) throw quotaError();
    values.push(value.reply);
    if (isPause(at)) yield;
  }
  return values;
}

/** How many of the keys `does` something to. */
function countKeys(does: (redis: Redis, key: HashedKey) => boolean): Run {
  return function* (redis, args) {
    let count = 0;
    for (let at = 0; at < args.count; at++) {
      if (yield* step(redis.commands, () => does(redis, redis.key(args, at)))) count++;
      if (isPause(at)) yield;
    }
    return count;
  };
}

/** Whether others should be served behind the key at this place in a command for many keys. */
function isPause(index: number): boolean {
  return index % KEYS_IN_A_ROW === KEYS_IN_A_ROW - 1;
}

/** All or none: where another client stores one of the keys meanwhile, what was stored is removed again. */
function msetNx(redis: Redis, args: Arguments): Reply {
  if (args.count % 2 !== 0) throw args.wrongCount();
  const { commands, access } = redis;
  const values = new Map(Array.from({ length: args.count / 2 }, (_, i) => [args.text(2 * i), 2 * i + 1]));
  const keys = [...values.keys()].map((text) => commands.keyOf(redis.root + text));
  if (keys.some((key) => redis.has(key))) return 0;
  const stored: { key: HashedKey; version: number }[] = [];
  for (const [i, index] of [...values.values()].entries()) {
    const write = redis.write(args, index);
    write.condition = Condition.IF_ABSENT;
    if (!redis.put(keys[i]!, write)) {
      for (const { key, version } of stored) commands.delete(access, key, version);
      return 0;
    }
    stored.push({ key: keys[i]!, version: commands.lastVersion });
  }
  return 1;
}

function getDel({ commands, access }: Redis, key: HashedKey): Reply {
  const value = new Value();
  commands.getAndDelete(access, key, value);
  return value.reply;
}

function getEx(redis: Redis, args: Arguments): Reply {
  const { words, ttlMs } = optionsOf(args, 1, ["PERSIST"], [["PERSIST", "time"]]);
  const key = redis.key(args);
  if (ttlMs === null && !words.has("PERSIST")) return redis.get(key).reply;
  const value = new Value();
  redis.commands.getAndTouchUntil(redis.access, key, value, ttlMs === null ? Infinity : redis.moment(ttlMs));
  return value.reply;
}

function expire(unit: TimeUnit): Run {
  return (redis, args) => {
    const touchIf = touchIfOf(args, 2);
    const ttlMs = args.time(1, unit);
    const { commands, access } = redis;
    const outcome = commands.touchUntil(access, redis.key(args), redis.moment(ttlMs), touchIf);
    return outcome === Outcome.DONE ? 1 : 0;
  };
}

function persist({ commands, access }: Redis, key: HashedKey): Reply {
  return commands.touchUntil(access, key, Infinity, TouchIf.EXPIRES) === Outcome.DONE ? 1 : 0;
}

/** What is left, or when it is over: in milliseconds, or in seconds as Redis rounds them. -1 without an end, -2 without an entry. */
function ttl(msPerUnit: number, isMoment = false): Run {
  return (redis, args) => {
    if (!redis.has(redis.key(args))) return -2;
    const left = redis.commands.ttlOf(redis.commands.entryInfo.expiresAt);
    if (left === Infinity) return -1;
    return Math.floor(((isMoment ? Date.now() : 0) + left + (msPerUnit >> 1)) / msPerUnit);
  };
}

function add(delta: (args: Arguments) => bigint): Run {
  return (redis, args) => {
    const { commands, access } = redis;
    const outcome = commands.tryAdd(access, redis.key(args), delta(args));
    if (outcome === Outcome.NOT_A_NUMBER) throw new RedisError(NOT_AN_INTEGER);
    if (outcome === Outcome.OVERFLOW) throw new RedisError("ERR increment or decrement would overflow");
    return commands.lastNumber;
  };
}

function negated(args: Arguments): bigint {
  const number = args.i64(1);
  if (BigInt.asIntN(64, -number) !== -number) throw new RedisError("ERR decrement would overflow");
  return -number;
}

function incrByFloat(redis: Redis, args: Arguments): Reply {
  const delta = decimalOf(args.text(1));
  let text = "";
  redis.update(redis.key(args), (before) => {
    text = textOf((before.found ? decimalOf(before.bytes.toString("latin1")) : 0n) + delta);
    return Buffer.from(text);
  });
  return Buffer.from(text);
}

function decimalOf(text: string): bigint {
  const decimal = decimalFrom(text);
  if (decimal === null) throw new RedisError("ERR value is not a valid float");
  return decimal;
}

function textOf(decimal: bigint): string {
  const text = decimalText(decimal);
  if (text === null) throw new RedisError("ERR increment would produce NaN or Infinity");
  return text;
}

function append(redis: Redis, args: Arguments): Reply {
  const { commands, access } = redis;
  const key = redis.key(args);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if (commands.append(access, key, redis.write(args, 1)) === Outcome.DONE) return commands.lastLength;
    const write = redis.write(args, 1);
    const { length } = write;
    write.condition = Condition.IF_ABSENT;
    if (redis.put(key, write)) return length;
  }
  throw new RequestError("BUSY", "the value is being changed by too many clients; try again");
}

function strlen(redis: Redis, args: Arguments): Reply {
  return redis.has(redis.key(args)) ? redis.commands.entryInfo.valueLength : 0;
}

function getRange(redis: Redis, args: Arguments): Reply {
  const [from, to] = [args.integer(1), args.integer(2)];
  const { bytes } = redis.get(redis.key(args));
  const { length } = bytes;
  const start = Math.max(0, from < 0 ? length + from : from);
  const end = Math.min(length - 1, to < 0 ? Math.max(0, length + to) : to);
  if ((from < 0 && to < 0 && from > to) || start > end) return Buffer.alloc(0);
  return bytes.subarray(start, end + 1);
}

function setRange(redis: Redis, args: Arguments): Reply {
  const offset = args.integer(1);
  const bytes = args.bytes(2);
  if (offset < 0) throw new RedisError("ERR offset is out of range");
  const key = redis.key(args);
  if (bytes.length === 0) return redis.has(key) ? redis.commands.entryInfo.valueLength : 0;
  if (offset + bytes.length > redis.commands.limits.valueBytesMax)
    throw new RedisError("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  let length = 0;
  redis.update(key, ({ bytes: before }) => {
    length = Math.max(before.length, offset + bytes.length);
    const whole = Buffer.alloc(length);
    before.copy(whole);
    bytes.copy(whole, offset);
    return whole;
  });
  return length;
}

/** One step of a walk over the keys. COUNT is how many are looked at, as in Redis: with a pattern, fewer may be answered. */
function scan(redis: Redis, args: Arguments): Reply {
  const cursorText = args.text(0);
  if (!/^[0-9]{1,20}$/.test(cursorText) || BigInt.asUintN(64, BigInt(cursorText)) !== BigInt(cursorText))
    throw new RedisError("ERR invalid cursor");
  let glob: Glob | null = null;
  let count = SCAN_COUNT_DEFAULT;
  let type = "string";
  let withType = false;
  for (let at = 1; at < args.count; at++) {
    const word = args.text(at).toUpperCase();
    if (word === "WITHTYPE") withType = true;
    else if (at + 1 === args.count) throw new RedisError(SYNTAX_ERROR);
    else if (word === "MATCH") glob = globOf(args.bytes(++at));
    else if (word === "COUNT") count = args.integer(++at);
    else if (word === "TYPE") type = args.text(++at).toLowerCase();
    else throw new RedisError(SYNTAX_ERROR);
  }
  if (count < 1) throw new RedisError(SYNTAX_ERROR);
  const { commands, access, root } = redis;
  const prefix = Buffer.concat([Buffer.from(root), glob?.literalStart ?? Buffer.alloc(0)]);
  const page = commands.scan(access, prefix, BigInt(cursorText), count);
  const found = type === "string" ? namesOf(redis, page.keys, glob) : [];
  const names = withType ? found.flatMap((name) => [name, Buffer.from("string")]) : found;
  return [Buffer.from(String(page.cursor)), names];
}

function* keysLike(redis: Redis, args: Arguments): Running {
  const { commands, access, quota, root } = redis;
  const glob = globOf(args.bytes(0));
  const prefix = Buffer.concat([Buffer.from(root), glob.literalStart]);
  const found = new Map<string, Buffer>();
  let bytes = 0;
  const take = (page: Buffer[]) => {
    for (const name of namesOf(redis, page, glob)) {
      found.set(name.toString("latin1"), name);
      bytes += name.length;
    }
    if (!quota.hasRoomFor(bytes)) throw quotaError();
  };
  yield* keyPages(commands, access, prefix, take);
  return [...found.values()];
}

function globOf(pattern: Buffer): Glob {
  if (pattern.length > PATTERN_BYTES_MAX)
    throw new RedisError(`ERR pattern: ${pattern.length} bytes, at most ${PATTERN_BYTES_MAX} are allowed`);
  return new Glob(pattern);
}

/** Stored keys as their client names them; those that match, where a pattern is given. */
function namesOf({ root }: Redis, keys: readonly Buffer[], glob: Glob | null): Buffer[] {
  const start = Buffer.byteLength(root);
  const names = keys.map((key) => key.subarray(start));
  return glob === null ? names : names.filter((name) => glob.matches(name));
}

function* dbSize({ commands, access, root }: Redis): Running {
  let size = 0;
  yield* keyPages(commands, access, Buffer.from(root), (page) => {
    size += page.length;
  });
  return size;
}

function* flush({ commands, access, root }: Redis, args: Arguments): Running {
  if (args.count === 1 && !["ASYNC", "SYNC"].includes(args.text(0).toUpperCase()))
    throw new RedisError(SYNTAX_ERROR);
  yield* clearKeys(commands, access, Buffer.from(root));
  return "OK";
}

function ping({ commands, access }: Redis, args: Arguments): Reply {
  commands.ping(access);
  return args.count === 0 ? "PONG" : args.bytes(0);
}

function echo({ commands, access }: Redis, args: Arguments): Reply {
  commands.ping(access);
  return args.bytes(0);
}

/** A command for a fixed number of arguments, or from so many to so many. */
function takes(min: number, run: Run, max = min): Command {
  return { min, max, run };
}

const reads = (command: Command): Command => ({ ...command, large: "reads" });
const takesValue = (command: Command): Command => ({ ...command, large: "takes" });
const countPresent = countKeys((redis, key) => redis.has(key));
const deleteAll = countKeys(
  ({ commands, access }, key) => commands.delete(access, key, ANY_VERSION) === Outcome.DONE,
);

const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({
    append: takes(2, append),
    dbsize: takes(0, dbSize),
    decr: takes(
      1,
      add(() => -1n),
    ),
    decrby: takes(2, add(negated)),
    del: takes(1, deleteAll, Infinity),
    echo: takes(1, echo),
    exists: takes(1, countPresent, Infinity),
    expire: takes(2, expire("EX"), Infinity),
    expireat: takes(2, expire("EXAT"), Infinity),
    expiretime: takes(1, ttl(1000, true)),
    flushall: takes(0, flush, 1),
    flushdb: takes(0, flush, 1),
    get: reads(takes(1, (redis, args) => redis.get(redis.key(args)).reply)),
    getdel: takesValue(takes(1, (redis, args) => getDel(redis, redis.key(args)))),
    getex: takesValue(takes(1, getEx, Infinity)),
    getrange: reads(takes(3, getRange)),
    getset: takesValue(takes(2, getSet)),
    incr: takes(
      1,
      add(() => 1n),
    ),
    incrby: takes(
      2,
      add((args) => args.i64(1)),
    ),
    incrbyfloat: takes(2, incrByFloat),
    keys: reads(takes(1, keysLike)),
    mget: reads(takes(1, mget, Infinity)),
    mset: takes(2, mset, Infinity),
    msetnx: takes(2, msetNx, Infinity),
    persist: takes(1, (redis, args) => persist(redis, redis.key(args))),
    pexpire: takes(2, expire("PX"), Infinity),
    pexpireat: takes(2, expire("PXAT"), Infinity),
    pexpiretime: takes(1, ttl(1, true)),
    ping: takes(0, ping, 1),
    psetex: takes(3, setWithTime("PX")),
    pttl: takes(1, ttl(1)),
    scan: reads(takes(1, scan, Infinity)),
    set: takesValue(takes(2, set, Infinity)),
    setex: takes(3, setWithTime("EX")),
    setnx: takes(2, setNx),
    setrange: takes(3, setRange),
    strlen: takes(1, strlen),
    substr: reads(takes(3, getRange)),
    touch: takes(1, countPresent, Infinity),
    ttl: takes(1, ttl(1000)),
    type: takes(1, (redis, args) => (redis.has(redis.key(args)) ? "string" : "none")),
    unlink: takes(1, deleteAll, Infinity),
  }),
);
