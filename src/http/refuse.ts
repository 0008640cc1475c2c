/** Refusals: counted, and where a wrong token was tried, slowed down by where it came from. */
import type { Refusal } from "../access/scoped";
import { HOLD_MS, type Throttle } from "../access/throttle";
import { Count, type Tally } from "../commands/tally";
import { errorReply, type Reply } from "./message/reply";

const REASONS: Record<Refusal, string> = {
  missing: "a token is needed",
  wrong: "a valid token is needed",
  expired: "the token has expired",
};
const TOO_MANY = "too many wrong tokens are being tried; try again later";

export function refuse(tally: Tally, status: number, message: string): Reply {
  tally.add(Count.REFUSED_ACCESS, 1);
  return errorReply(status, message);
}

/**
 * Answers 401. Who shows a token that is none waits for it after some failures; without a token, or with one that was
 * good, nobody is guessing.
 * @param address of who asks
 * @param help how a token is sent here
 */
export function refuseToken(
  { tally, throttle }: { tally: Tally; throttle: Throttle },
  address: string,
  refusal: Refusal,
  help: string,
): Reply | Promise<Reply> {
  const unauthorized = () => refuse(tally, 401, `${REASONS[refusal]}: ${help}`);
  if (refusal !== "wrong") return unauthorized();
  tally.add(Count.AUTH_FAILURES, 1);
  // The peer of the socket: what a header says of addresses, anybody can write.
  const pace = throttle.failed(address);
  if (pace === "now") return unauthorized();
  if (pace === "too many") return refuse(tally, 429, TOO_MANY);
  return new Promise((resolve) =>
    setTimeout(() => {
      throttle.released();
      resolve(unauthorized());
    }, HOLD_MS),
  );
}
