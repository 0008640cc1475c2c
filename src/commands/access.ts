/**
 * What a connection or request may do: decided when its token is checked, asked for each verb and each key. Access
 * without a prefix costs one null check; a prefix is compared as bytes, so that no spelling of a key gets around it.
 */
import { RequestError } from "../protocol/errors";
import { Op } from "../protocol/wire";

export interface Access {
  /** Bit `op` is set where the op is allowed. */
  readonly verbs: number;
  /** Every key must begin with these bytes; null where any may be named. */
  readonly prefix: Buffer | null;
  /** On the system's clock, ms since 1970; Infinity where it does not end. */
  readonly expiresAt: number;
  /** SHA-256 (hex) of the token, or of the secret that signed it; when that is withdrawn, the access is. */
  readonly grantedBy: string;
  /** What FORBIDDEN says. */
  readonly refusal: string;
}

const READ_OPS: readonly Op[] = [Op.GET, Op.INFO, Op.SCAN, Op.STATS];
const OUTSIDE_MESSAGE = "key: is outside of what this token may name";

/** Ops that come with the right to others: who may read a key may watch it, who may also write it may lease it, and what does two things at once asks for both rights. */
const FOLLOWING: readonly (readonly [op: Op, needs: readonly Op[]])[] = [
  [Op.WATCH, [Op.GET]],
  [Op.UNWATCH, [Op.GET]],
  [Op.LEASE, [Op.GET, Op.PUT]],
  [Op.RELEASE, [Op.GET, Op.PUT]],
  [Op.GETDELETE, [Op.GET, Op.DELETE]],
  [Op.GETTOUCH, [Op.GET, Op.TOUCH]],
];

/** Whether an op comes with the right to others, and is not given by itself. */
export function isFollowing(op: Op): boolean {
  return FOLLOWING.some(([following]) => following === op);
}

/** The ops that a token has to be given so that it may do this one. */
export function needsOf(op: Op): readonly Op[] {
  return FOLLOWING.find(([following]) => following === op)?.[1] ?? [op];
}

/** The bits of these ops, and of those that come with them. */
export function verbsOf(ops: readonly Op[]): number {
  const following = FOLLOWING.filter(([, needs]) => needs.every((op) => ops.includes(op)));
  return [...ops, ...following.map(([op]) => op)].reduce((bits, op) => bits | (1 << op), 0);
}

/** Everything, or only reading, on every key and for ever. */
export function fullAccess(grantedBy: string): Access {
  return {
    verbs: verbsOf(Object.values(Op)),
    prefix: null,
    expiresAt: Infinity,
    grantedBy,
    refusal: "this token may do everything",
  };
}

export function readAccess(grantedBy: string): Access {
  return {
    verbs: verbsOf(READ_OPS),
    prefix: null,
    expiresAt: Infinity,
    grantedBy,
    refusal: "this token may only read (GET, INFO, SCAN, STATS, WATCH)",
  };
}

/** Where no token is configured. */
export const ANYBODY: Access = fullAccess("");

/** For what needs no token: nothing that asks is allowed anything. */
export const NOBODY: Access = { ...ANYBODY, verbs: 0 };

export function mayDo(access: Access, op: number): boolean {
  return ((access.verbs >> op) & 1) === 1;
}

export function forbidden(access: Access): RequestError {
  return new RequestError("FORBIDDEN", access.refusal);
}

/** Throws FORBIDDEN for a key bytes[start, end) that does not begin as the token asks. */
export function checkKey(access: Access, bytes: Buffer, start: number, end: number): void {
  const { prefix } = access;
  if (prefix === null || startsWith(bytes, start, end, prefix)) return;
  throw new RequestError("FORBIDDEN", OUTSIDE_MESSAGE);
}

/** What a scan looks for: the prefix that was asked for, or the token's own where none was. */
export function scanPrefix(access: Access, asked: Buffer): Buffer {
  return asked.length === 0 && access.prefix !== null ? access.prefix : asked;
}

function startsWith(bytes: Buffer, start: number, end: number, prefix: Buffer): boolean {
  return (
    end - start >= prefix.length &&
    bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0
  );
}
