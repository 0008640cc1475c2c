/** Refusals: counted, and where a wrong token was tried, slowed down by where it came from. */
import type { Server } from "bun";
import type { Refusal } from "../access/scoped";
import { HOLD_MS, type Throttle } from "../access/throttle";
import { Count, type Tally } from "../commands/tally";
import { errorResponse } from "./respond";

const REASONS: Record<Refusal, string> = {
  missing: "a token is needed",
  wrong: "a valid token is needed",
  expired: "the token has expired",
};
const TOO_MANY = "too many wrong tokens are being tried; try again later";

export function refuse(tally: Tally, status: number, message: string): Response {
  tally.add(Count.REFUSED_ACCESS, 1);
  return errorResponse(status, message);
}

/**
 * Answers 401. Who shows a token that is none waits for it after some failures; without a token, or with one that was
 * good, nobody is guessing.
 * @param help how a token is sent here
 */
export function refuseToken(
  { tally, throttle }: { tally: Tally; throttle: Throttle },
  request: Request,
  server: Pick<Server<unknown>, "requestIP">,
  refusal: Refusal,
  help: string,
): Response | Promise<Response> {
  const unauthorized = () => refuse(tally, 401, `${REASONS[refusal]}: ${help}`);
  if (refusal !== "wrong") return unauthorized();
  tally.add(Count.AUTH_FAILURES, 1);
  // The peer of the socket: what a header says of addresses, anybody can write.
  const pace = throttle.failed(server.requestIP(request)?.address ?? "");
  if (pace === "now") return unauthorized();
  if (pace === "too many") return refuse(tally, 429, TOO_MANY);
  return new Promise((resolve) =>
    setTimeout(() => {
      throttle.released();
      resolve(unauthorized());
    }, HOLD_MS),
  );
}
