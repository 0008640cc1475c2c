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
} as const;
export type Op = (typeof Op)[keyof typeof Op];

export const OP_MAX = Op.STATS;

/** Which of the optional fields follow; the same for every op. */
export const Field = { VALUE: 0x01, TTL: 0x02, VERSION: 0x04 } as const;

/** Flags of single ops. */
export const Flag = {
  GET_META: 0x08,
  PUT_IF_ABSENT: 0x08,
  PUT_IF_PRESENT: 0x10,
  PUT_RETURN_VERSION: 0x20,
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
