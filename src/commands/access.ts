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

export function verbsOf(ops: readonly Op[]): number {
  return ops.reduce((verbs, op) => verbs | (1 << op), 0);
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
    refusal: "this token may only read (GET, INFO, SCAN, STATS)",
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

/** bytes[start, end). */
interface KeyBytes {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Throws FORBIDDEN for a key that does not begin as the token asks. */
export function checkKey(access: Access, key: KeyBytes): void {
  const { prefix } = access;
  if (prefix === null || startsWith(key, prefix)) return;
  throw new RequestError("FORBIDDEN", OUTSIDE_MESSAGE);
}

/** Ops that are about the one key they name; PING and STATS step over theirs, SCAN and CLEAR have a prefix. */
const KEY_OPS = verbsOf([Op.GET, Op.PUT, Op.DELETE, Op.TOUCH, Op.ADD, Op.APPEND, Op.INFO]);

export function namesKey(op: number): boolean {
  return ((KEY_OPS >> op) & 1) === 1;
}

/** What a scan looks for: the prefix that was asked for, or the token's own where none was. Throws FORBIDDEN outside of it. */
export function scanPrefix(access: Access, asked: Buffer): Buffer {
  if (access.prefix === null) return asked;
  if (asked.length === 0) return access.prefix;
  checkKey(access, { bytes: asked, start: 0, end: asked.length });
  return asked;
}

function startsWith({ bytes, start, end }: KeyBytes, prefix: Buffer): boolean {
  return (
    end - start >= prefix.length &&
    bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0
  );
}
