/** What always holds of a client's connection and its requests, between any two steps. */
import { type Connection, WITH_SOCKET } from "../../src/client/connection";
import type { Request, Requests } from "../../src/client/requests";

/** Throws, and says what does not hold. */
export function invariants(connection: Connection): void {
  const phase = connection["phase"];
  const requests = connection["requests"];
  const isLeaving = phase === "draining" || phase === "closing";
  const needsTimer =
    phase === "open" ? connection["options"].heartbeatMs > 0 : !["new", "asking", "closed"].includes(phase);
  holds((connection["socket"] !== null) === WITH_SOCKET.includes(phase), `the socket of ${phase}`);
  holds((connection["stopTimer"] !== null) === needsTimer, `the timer of ${phase}`);
  holds((connection["fate"] !== null) === (isLeaving || phase === "closed"), `new requests while ${phase}`);
  holds(!isLeaving || connection["goodbye"] !== null, "only close leads to draining and closing");
  holds(!requests.owesReply || phase === "open" || isLeaving, `replies are owed while ${phase}`);
  holds(phase !== "draining" || !requests.isIdle, "who drains waits for an answer");
  holds(requests.isIdle || !["closing", "closed"].includes(phase), `nobody waits while ${phase}`);
  requestsHold(requests);
}

function requestsHold(requests: Requests): void {
  const waiting = requests["waiting"].toArray();
  const inFlight = requests["inFlight"].toArray();
  const callers = [...waiting, ...inFlight].filter(({ isDone }) => !isDone);
  const bytes = inFlight.reduce((sum, request) => sum + request.bytes.length, 0);
  const { inFlightRequestsMax, waitingMax } = requests["bounds"];
  const watched = requests["signals"]["watched"];
  const signals = new Set(callers.flatMap(({ signal }) => (signal === undefined ? [] : [signal])));
  const isWatched = (request: Request) =>
    request.signal === undefined || watched.get(request.signal)!.has(request);
  holds(callers.length === requests["callers"], "callers are counted");
  holds(bytes === requests["inFlightBytes"], "bytes in flight are counted");
  holds(inFlight.length <= inFlightRequestsMax, "no more requests in flight than allowed");
  holds(waiting.length <= waitingMax + inFlightRequestsMax, "no more requests wait than allowed");
  holds(
    inFlight.every(({ messageBytes }) => messageBytes > 0),
    "what is in flight has left in a message",
  );
  holds(
    callers.every(({ deadline }) => deadline >= requests["dueAt"]),
    "the timer is due for the first deadline",
  );
  holds(signals.size === watched.size, "a listener for each signal, and none left over");
  holds(callers.every(isWatched), "each can be given up by its signal");
}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`does not hold: ${what}`);
}
