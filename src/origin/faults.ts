/** What a node's error means: whether the command may be sent again, where to, and what the caller is told. */
import { type ErrorKind, RequestError } from "../protocol/errors";
import { type Endpoint, endpointText } from "./address";

/** Why a call has failed, for the counters. */
export const FAILURES = [
  "timeout",
  "lost",
  "unreachable",
  "circuit",
  "overtaken",
  "refused",
  "full",
  "closing",
] as const;
export type Failure = (typeof FAILURES)[number];

/** A call that has failed. Nothing was changed, unless it says that a write may have happened. */
export class OriginError extends RequestError {
  override name = "OriginError";
  constructor(
    readonly failure: Failure,
    message: string,
    kind: ErrorKind = "BUSY",
    http?: number,
  ) {
    super(kind, message, http);
  }

  /** It was sent, and nobody knows whether it was executed. */
  get mayHaveHappened(): boolean {
    return this.message.endsWith(MAY_HAVE_HAPPENED);
  }
}

export const MAY_HAVE_HAPPENED = "the write may have happened";

export const FaultKind = {
  /** Another node owns the slot. */
  MOVED: "moved",
  /** Another node has this key already. */
  ASK: "ask",
  /** The node does not have the script. */
  NO_SCRIPT: "noscript",
  /** The node can't answer for now, and has executed nothing. */
  LATER: "later",
  /** The connection ended before the answer came. */
  LOST: "lost",
  /** It will not get better by repeating. */
  FINAL: "final",
} as const;
export type FaultKind = (typeof FaultKind)[keyof typeof FaultKind];

export interface Fault {
  readonly kind: FaultKind;
  /** First word of the node's message, such as WRONGTYPE. */
  readonly code: string;
  /** Of MOVED and ASK. */
  readonly slot: number;
  readonly endpoint: Endpoint | null;
}

const LATER_CODES = ["TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "BUSY"];
/** Errors of commands within a script keep their code, but not always in front. */
const INNER_CODES = /\b(WRONGTYPE|OOM|READONLY|NOPERM|MISCONF|NOREPLICAS)\b/;

export function faultOf(error: Error): Fault {
  const plain = { slot: -1, endpoint: null };
  if (error.name !== "ReplyError") return { kind: FaultKind.LOST, code: "LOST", ...plain };
  const { message } = error;
  const [code = ""] = message.split(" ", 1);
  if (code === "MOVED" || code === "ASK") return redirectOf(code, message);
  if (code === "NOSCRIPT") return { kind: FaultKind.NO_SCRIPT, code, ...plain };
  if (LATER_CODES.includes(code)) return { kind: FaultKind.LATER, code, ...plain };
  return { kind: FaultKind.FINAL, code: finalCode(message, code), ...plain };
}

/** `MOVED 3999 127.0.0.1:6381`; the host may be empty: the one that was asked. */
function redirectOf(code: "MOVED" | "ASK", message: string): Fault {
  const match = /^[A-Z]+ (\d+) (.*):(\d+)$/.exec(message);
  if (match === null) return { kind: FaultKind.FINAL, code, slot: -1, endpoint: null };
  const endpoint = { host: match[2]!, port: Number(match[3]) };
  return { kind: code === "MOVED" ? FaultKind.MOVED : FaultKind.ASK, code, slot: Number(match[1]), endpoint };
}

function finalCode(message: string, code: string): string {
  if (/exceeds maximum allowed size/.test(message)) return "TOO_LARGE";
  if (/can't run this command|no permissions/.test(message)) return "NOPERM";
  if (/without any password configured/.test(message)) return "NO_PASSWORD";
  if (/cluster support disabled/.test(message)) return "NO_CLUSTER";
  return INNER_CODES.exec(message)?.[1] ?? code;
}

/** What to do about a node that refuses, by the code of its error. It has executed nothing. */
const REFUSALS: Record<string, string> = {
  NOAUTH: "asks for a password; put user:password@ into --origin",
  WRONGPASS: "refuses the user or the password; correct them in --origin",
  NO_PASSWORD: "has no password; leave the user and the password out of --origin",
  NOPERM: "does not permit the user a command that is needed; ops/README.md lists them",
  OOM: "is out of memory (maxmemory), and evicts nothing; nothing was written",
  READONLY: "is a read-only replica; name its master in --origin",
  MISCONF: "refuses writes because it cannot save (MISCONF); see its log",
  NOREPLICAS: "refuses writes because too few replicas are there (min-replicas-to-write)",
};

/** What a node said when it refused, as the reason why it is not used; null where the code says nothing. */
export function refusalText(code: string): string | null {
  return REFUSALS[code] ?? null;
}

/** What the caller is told about an error that is final. Nothing was changed. */
export function finalError({ code }: Fault, node: Endpoint): OriginError {
  if (code === "WRONGTYPE")
    return new OriginError(
      "refused",
      "key: somebody else keeps something there that is no string (a hash, a list, …); use another key",
      "BAD_KEY",
      409,
    );
  if (code === "TOO_LARGE")
    return new OriginError("refused", "value: is larger than the origin takes", "VALUE_TOO_LARGE");
  const refusal = refusalText(code);
  if (refusal !== null) return new OriginError("refused", `origin: ${endpointText(node)} ${refusal}`);
  const text = `origin: ${endpointText(node)} answered with an unexpected error (${code.slice(0, CODE_LENGTH_MAX)})`;
  return new OriginError("refused", text, "INTERNAL");
}

/** Of what a node says only its first word is repeated, and no more of it than this. */
export const CODE_LENGTH_MAX = 20;
