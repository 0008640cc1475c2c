/**
 * The writes that need more than one step, as Lua scripts: each is executed whole by the node that owns the key. Time is the node's own, and
 * stands still while a script runs. value.ts draws the form of a value.
 *
 *   version    the greater of the old one + 1 and the node's time in µs; a foreign value counts as 0
 *   expiry     in the header and as the key's own, which is what removes it
 *   numbers    Lua has doubles: whatever is not a sum is below 2^53, and sums are made of two halves, see ADD
 *
 * A key that holds no string (a hash of somebody else) is refused with WRONGTYPE by the first read, before anything is written.
 */
import { createHash } from "node:crypto";
import { Outcome } from "../store/shard";
import { Condition, TouchIf } from "../store/write";
import { EXPIRY_AT, MAGIC_PLAIN, MAGIC_TYPED, PLAIN_BYTES, TYPED_BYTES, VERSION_AT } from "./value";

/** A time to live, as scripts take it, of what never expires. */
export const NEVER = "never";

/** Bits of PUT's last argument. */
export const PutFlag = { KEEPS_EXPIRY: 1, RETURNS_PREVIOUS: 2 } as const;

export interface Script {
  readonly source: string;
  /** SHA-1 of the source, by which EVALSHA knows it. */
  readonly sha: string;
}

const { DONE, MISS, REFUSED, NOT_A_NUMBER, OVERFLOW } = Outcome;
const luaBytes = (bytes: Buffer) => `'${[...bytes].map((byte) => `\\${byte}`).join("")}'`;

/** What all scripts begin with: what is there now. */
const LOOK = `
local PLAIN, TYPED, MAX = ${luaBytes(MAGIC_PLAIN)}, ${luaBytes(MAGIC_TYPED)}, ${Number.MAX_SAFE_INTEGER}
local key, call = KEYS[1], redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local nowMs = math.floor(now / 1000)

-- Foreign values have version 0, and their payload begins at 0.
local head = call('GETRANGE', key, 0, ${TYPED_BYTES - 1})
local magic = string.sub(head, 1, 4)
local isOurs, version, expiry, payloadAt = false, 0, 0, 0
if #head >= ${PLAIN_BYTES} and (magic == PLAIN or magic == TYPED) then
  local v, e = struct.unpack('<I8I8', head, ${VERSION_AT + 1})
  local at = ${PLAIN_BYTES}
  if magic == TYPED then at = ${TYPED_BYTES} + (string.byte(head, ${TYPED_BYTES}) or 0) end
  isOurs = v <= MAX and e <= MAX and (at <= #head or call('STRLEN', key) >= at)
  if isOurs then version, expiry, payloadAt = v, e, at end
end
local nextVersion = math.max(version + 1, now)

local function isThere()
  return #head > 0 or call('EXISTS', key) == 1
end

-- When what is there expires; 0 for never.
local function expiryNow()
  if isOurs then return expiry end
  local left = call('PTTL', key)
  if left < 0 then return 0 end
  return nowMs + math.max(left, 1)
end

local function expiryAfter(ttl)
  if ttl == '${NEVER}' then return 0 end
  return math.min(nowMs + tonumber(ttl), MAX)
end

local function isPast(at)
  return at ~= 0 and at <= nowMs
end

local function numbers(...)
  return struct.pack(string.rep('<I8', select('#', ...)), ...)
end

-- A value under its own or no expiry. With an expiry in the past it is gone.
local function set(value, at)
  if isPast(at) then call('UNLINK', key)
  elseif at == 0 then call('SET', key, value)
  else call('SET', key, value, 'PXAT', at) end
end

local function setExpiry(at)
  if isPast(at) then return call('UNLINK', key) end
  if at == 0 then call('PERSIST', key) else call('PEXPIREAT', key, at) end
  if isOurs then call('SETRANGE', key, ${EXPIRY_AT}, numbers(at)) end
end
`;

/**
 * ARGV: value with a header whose version and expiry are zeros │ ttl ms │ Condition │ version or 0 │ bits of PutFlag.
 * Answers { outcome, version, previous value, its expiry }. The header is written into the stored value, so that a long one is never copied here.
 */
const PUT = `
local condition, ifVersion, flags = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local keepsExpiry = flags % ${2 * PutFlag.KEEPS_EXPIRY} >= ${PutFlag.KEEPS_EXPIRY}
local previous, previousExpiry = false, 0
if flags >= ${PutFlag.RETURNS_PREVIOUS} then
  previous = call('GET', key)
  previousExpiry = previous and expiryNow() or 0
end
if condition ~= ${Condition.NONE} or ifVersion ~= 0 or keepsExpiry then
  local there = isThere()
  if (there and condition == ${Condition.IF_ABSENT}) or (not there and condition == ${Condition.IF_PRESENT})
    or (ifVersion ~= 0 and (not there or version ~= ifVersion)) then
    return { ${REFUSED}, 0, previous, previousExpiry }
  end
  keepsExpiry = keepsExpiry and there
end
local at = keepsExpiry and expiryNow() or expiryAfter(ARGV[2])
set(ARGV[1], at)
if not isPast(at) then call('SETRANGE', key, ${VERSION_AT}, numbers(nextVersion, at)) end
return { ${DONE}, nextVersion, previous, previousExpiry }
`;

/** ARGV: ttl ms │ bits of TouchIf. Answers the outcome. */
const TOUCH = `
if not isThere() then return ${MISS} end
local touchIf, at, before = tonumber(ARGV[2]), expiryAfter(ARGV[1]), expiryNow()
local function asked(bit)
  return touchIf % (2 * bit) >= bit
end
local from = before == 0 and math.huge or before
local to = at == 0 and math.huge or at
if (asked(${TouchIf.NO_EXPIRY}) and before ~= 0) or (asked(${TouchIf.EXPIRES}) and before == 0)
  or (asked(${TouchIf.LATER}) and to <= from) or (asked(${TouchIf.EARLIER}) and to >= from) then
  return ${REFUSED}
end
setExpiry(at)
return ${DONE}
`;

/** ARGV: ttl ms. Answers { value, the expiry that it had }, or nil. */
const GET_AND_TOUCH = `
local value = call('GET', key)
if not value then return false end
local before = expiryNow()
setExpiry(expiryAfter(ARGV[1]))
return { value, before }
`;

/** ARGV: version. Answers the outcome. */
const DELETE = `
if not isThere() then return ${MISS} end
if version ~= tonumber(ARGV[1]) then return ${REFUSED} end
call('UNLINK', key)
return ${DONE}
`;

/** ARGV: bytes │ how long the whole payload may be. Answers { outcome, version, length }. */
const APPEND = `
if not isThere() then return { ${MISS}, 0, 0 } end
local length = call('STRLEN', key) - payloadAt + #ARGV[1]
if length > tonumber(ARGV[2]) then return { ${REFUSED}, 0, 0 } end
if isOurs then
  call('APPEND', key, ARGV[1])
  call('SETRANGE', key, ${VERSION_AT}, numbers(nextVersion))
else
  local header = PLAIN .. numbers(nextVersion, expiryNow())
  call('SET', key, header .. call('GET', key) .. ARGV[1], 'KEEPTTL')
end
return { ${DONE}, nextVersion, length }
`;

/**
 * ARGV: an i64 as text │ ttl ms of a new entry. Answers { outcome, version, sum as text }.
 *
 * A number is two halves of one sign, high * 10^9 + low, because a double does not hold an i64: neither half, nor a sum of two, comes near 2^53.
 */
const ADD = `
local HALF, HIGH_MAX, LOW_MAX = 1000000000, 9223372036, 854775807

local function fits(high, low)
  if math.abs(high) ~= HIGH_MAX then return math.abs(high) < HIGH_MAX end
  return low <= LOW_MAX and low >= -LOW_MAX - 1
end

local function halves(text)
  if #text > 20 or not (text == '0' or string.find(text, '^-?[1-9][0-9]*$')) then return nil end
  local sign, digits = 1, text
  if string.sub(text, 1, 1) == '-' then sign, digits = -1, string.sub(text, 2) end
  local high = #digits > 9 and sign * tonumber(string.sub(digits, 1, -10)) or 0
  local low = sign * tonumber(string.sub(digits, -9))
  if fits(high, low) then return high, low end
end

local function textOf(high, low)
  if high == 0 then return string.format('%d', low) end
  return string.format('%d%09d', high, math.abs(low))
end

local high, low = halves(ARGV[1])
local there, typeText = isThere(), ''
if there then
  local whole = call('GETRANGE', key, 0, payloadAt + 20)
  local oldHigh, oldLow = halves(string.sub(whole, payloadAt + 1))
  if not oldHigh then return { ${NOT_A_NUMBER}, 0, '' } end
  high, low = high + oldHigh, low + oldLow
  if low >= HALF then high, low = high + 1, low - HALF end
  if low <= -HALF then high, low = high - 1, low + HALF end
  if high > 0 and low < 0 then high, low = high - 1, low + HALF end
  if high < 0 and low > 0 then high, low = high + 1, low - HALF end
  if not fits(high, low) then return { ${OVERFLOW}, 0, '' } end
  typeText = string.sub(whole, ${PLAIN_BYTES + 1}, payloadAt)
end
local at = there and expiryNow() or expiryAfter(ARGV[2])
local sum = textOf(high, low)
local value = (typeText == '' and PLAIN or TYPED) .. numbers(nextVersion, at) .. typeText .. sum
if there then call('SET', key, value, 'KEEPTTL') else set(value, at) end
return { ${DONE}, nextVersion, sum }
`;

export const SCRIPTS = {
  put: script(PUT),
  touch: script(TOUCH),
  getAndTouch: script(GET_AND_TOUCH),
  delete: script(DELETE),
  append: script(APPEND),
  add: script(ADD),
} as const;

function script(body: string): Script {
  const source = LOOK + body;
  return { source, sha: createHash("sha1").update(source).digest("hex") };
}
