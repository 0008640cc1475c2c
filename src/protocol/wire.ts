/**
 * Wire protocol v1: the numbers of PROTOCOL.md, and nothing else.
 *
 *   request   op u8 │ flags u8 │ keyLen u16 │ [valueLen u32] │ [ttlMs u64] │ [version u64] │ key │ [value]
 *   reply     status u8 │ what the status says        all little-endian
 */

export const SUBPROTOCOL = "breadbox.v1";
/** A browser's way to send a token: a subprotocol `bearer.BASE64URL(TOKEN)` that is never selected. */
export const SUBPROTOCOL_BEARER = "bearer.";

export const Op = {
  GET: 0x01,
  PUT: 0x02,
  DELETE: 0x03,
  TOUCH: 0x04,
  ADD: 0x05,
  APPEND: 0x06,
  INFO: 0x07,
  SCAN: 0x08,
  CLEAR: 0x09,
  PING: 0x0a,
  STATS: 0x0b,
  WATCH: 0x10,
  UNWATCH: 0x11,
  LEASE: 0x12,
  RELEASE: 0x13,
  GETDELETE: 0x14,
  GETTOUCH: 0x15,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

export const OP_MAX = Op.GETTOUCH;

/** Which of the optional fields follow; the same for every op. */
export const Field = { VALUE: 0x01, TTL: 0x02, VERSION: 0x04 } as const;

/** Flags of single ops. */
export const Flag = {
  GET_META: 0x08,
  GET_WATCH: 0x10,
  PUT_IF_ABSENT: 0x08,
  PUT_IF_PRESENT: 0x10,
  PUT_RETURN_VERSION: 0x20,
  PUT_WATCH: 0x40,
  PUT_FILL: 0x80,
  WATCH_NOLOOP: 0x08,
  UNWATCH_KEYS: 0x08,
  LEASE_META: 0x08,
  LEASE_WATCH: 0x10,
  LEASE_WAIT: 0x20,
} as const;

export const Status = {
  OK: 0x00,
  VALUE: 0x01,
  META_VALUE: 0x02,
  MISS: 0x03,
  REFUSED: 0x04,
  NUMBER: 0x05,
  META: 0x06,
  SCAN_PAGE: 0x07,
  CURRENT: 0x08,
  LEASED: 0x0a,
  PENDING: 0x0b,
  HIT_LEASED: 0x0c,
  MALFORMED: 0x80,
  UNKNOWN_OP: 0x81,
  BAD_KEY: 0x82,
  VALUE_TOO_LARGE: 0x83,
  NOT_A_NUMBER: 0x84,
  FORBIDDEN: 0x85,
  BUSY: 0x86,
  INTERNAL: 0x87,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Statuses from here to 0xEF are errors. */
export const STATUS_ERROR_MIN = 0x80;

/** First bytes of pushes: messages that answer nothing. */
export const Push = { CHANGED: 0xf0, RESET: 0xf1, FILLED: 0xf2 } as const;
export type Push = (typeof Push)[keyof typeof Push];

/** A message whose first byte is one of these or above is a push. */
export const PUSH_MIN = 0xf0;

/** Why copies are to be dropped. */
export const ResetReason = { OVERFLOW: 1, CLEARED: 2, SHARD_LOST: 3, SERVER: 4 } as const;
export type ResetReason = (typeof ResetReason)[keyof typeof ResetReason];

/** WebSocket close codes (RFC 6455, 7.4.1); from 4000 on they are the application's, here HTTP's status plus 4000. */
export const Close = {
  GOING_AWAY: 1001,
  PROTOCOL: 1002,
  /** Of a close frame without a code; never sent. */
  NO_CODE: 1005,
  NOT_UTF8: 1007,
  POLICY: 1008,
  TOO_BIG: 1009,
  INTERNAL: 1011,
  TRY_AGAIN: 1013,
  UNAUTHORIZED: 4401,
} as const;

export const REQUEST_HEADER_BYTES = 4;
export const TWO_32 = 2 ** 32;
/** ttlMs and version are at most 2^53 - 1: what a JavaScript number holds exactly. */
export const U53_HIGH_MAX = 0x1fffff;
