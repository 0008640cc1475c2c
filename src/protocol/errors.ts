/**
 * Everything that can be wrong with a request, by one stable name each, and the two forms it takes outside:
 * a status byte on the wire, a code over HTTP. Messages never contain a value or a token.
 */
import { Status } from "./wire";

export const ERROR_KINDS = {
  MALFORMED: { status: Status.MALFORMED, http: 400 },
  UNKNOWN_OP: { status: Status.UNKNOWN_OP, http: 400 },
  BAD_KEY: { status: Status.BAD_KEY, http: 400 },
  VALUE_TOO_LARGE: { status: Status.VALUE_TOO_LARGE, http: 413 },
  NOT_A_NUMBER: { status: Status.NOT_A_NUMBER, http: 400 },
  FORBIDDEN: { status: Status.FORBIDDEN, http: 403 },
  BUSY: { status: Status.BUSY, http: 503 },
  INTERNAL: { status: Status.INTERNAL, http: 500 },
} as const;

export type ErrorKind = keyof typeof ERROR_KINDS;

/** A request that is answered with an error; it has changed nothing. */
export class RequestError extends Error {
  override name = "RequestError";
  constructor(
    readonly kind: ErrorKind,
    message: string,
    /** Where HTTP says it with another code than the kind's own. */
    readonly http: number = ERROR_KINDS[kind].http,
  ) {
    super(message);
  }
}
