/** Refusals: counted, told to the log, and where a wrong token was tried, slowed down by where it came from. */
import type { Refusal } from "../access/scoped";
import { HOLD_MS, type Throttle } from "../access/throttle";
import { Count, type Tally } from "../commands/tally";
import type { RefusalLog, Refused } from "./refusal-log";
import { type ErrorForm, errorResponse } from "./respond";

const REASONS: Record<Refusal, string> = {
  missing: "a token is needed",
  wrong: "a valid token is needed",
  expired: "the token has expired",
};
const TOO_MANY = "too many wrong tokens are being tried; try again later";

export interface RefuseContext {
  readonly tally: Tally;
  readonly throttle: Throttle;
  readonly refusals: RefusalLog;
}

/** A refused request, and how its client wants to be told. */
export interface RefusedRequest extends Refused {
  readonly errors?: ErrorForm | undefined;
}

/** @param status 403 for a host, a page or a verb that is not allowed; 401 and 429 for tokens */
export function refuse(
  context: RefuseContext,
  refused: RefusedRequest,
  status: number,
  message: string,
): Response {
  context.tally.add(Count.REFUSED_ACCESS, 1);
  context.refusals.note(refused, status, message);
  return errorResponse(status, message, refused.errors);
}

/**
 * Answers 401. After some failures, the answer to a wrong token is delayed; without a token, or with one that has expired,
 * nobody is guessing.
 * @param help how a token is sent here
 */
export function refuseToken(
  context: RefuseContext,
  refused: RefusedRequest,
  refusal: Refusal,
  help: string,
): Response | Promise<Response> {
  const { tally, throttle } = context;
  const unauthorized = () => refuse(context, refused, 401, `${REASONS[refusal]}: ${help}`);
  if (refusal !== "wrong") return unauthorized();
  tally.add(Count.AUTH_FAILURES, 1);
  const pace = throttle.failed(refused.address);
  if (pace === "now") return unauthorized();
  if (pace === "too many") return refuse(context, refused, 429, TOO_MANY);
  return new Promise((resolve) =>
    setTimeout(() => {
      throttle.released();
      resolve(unauthorized());
    }, HOLD_MS),
  );
}
