/** What a connection may do: decided when its token is checked, asked for each verb. */
import { Op } from "../protocol/wire";

export const Access = { NONE: 0, READ: 1, ALL: 2 } as const;
export type Access = (typeof Access)[keyof typeof Access];

const READ_OPS: ReadonlySet<number> = new Set([Op.GET, Op.INFO, Op.SCAN, Op.STATS]);

export function mayDo(access: Access, op: number): boolean {
  return access === Access.ALL || (access === Access.READ && READ_OPS.has(op));
}

export const FORBIDDEN_MESSAGE = "this token may only read (GET, INFO, SCAN, STATS)";
