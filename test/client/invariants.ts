/** What always holds of a client's connection, its requests, and what it keeps of the cache, between any two steps. */
import { type Connection, WITH_SOCKET } from "../../src/client/connection";
import { type Copies, type Copy, COPY_BYTES } from "../../src/client/near/copies";
import type { Rules } from "../../src/client/near/rules";
import type { Request, Requests } from "../../src/client/requests";
import type { Streams } from "../../src/client/streams";
import { BACKLOG_BYTES_MAX, type Watch } from "../../src/client/watch";
import type { Watches } from "../../src/client/watches";

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
  const mayWait = !connection["options"].failFast || phase === "open" || isLeaving;
  const waiting = requests["waiting"].toArray();
  holds(
    mayWait || waiting.every(({ isDone, mayRepeat }) => isDone || mayRepeat),
    `nobody waits for a connection while ${phase}`,
  );
  requestsHold(requests);
  const streams = connection["follower"] as Streams;
  const { near } = streams;
  copiesHold(near.copies);
  nearHolds(near, requests.isIdle && streams["leases"]["tickets"].size === 0);
  watchesHold(streams.watches);
  holds(phase !== "closed" || near.copies.size === 0, "nothing is kept by a client that is closed");
  holds(
    phase !== "closed" || streams.watches["byPrefix"].size === 0,
    "a client that is closed watches nothing",
  );
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

export function copiesHold(copies: Copies): void {
  const list: Copy[] = [];
  for (let copy = copies["oldest"]; copy !== null; copy = copy.newer) {
    holds((copy.older ?? null) === (list.at(-1) ?? null), "copies are linked both ways");
    holds(copies.get(copy.key) === copy, "a copy in the list is found by its key");
    holds(copy.bytes === COPY_BYTES + 2 * copy.key.length + copy.valueBytes, "a copy counts what it takes");
    list.push(copy);
  }
  const bytes = list.reduce((sum, copy) => sum + copy.bytes, 0);
  const { hand } = copies as unknown as { hand: Copy | null };
  holds(copies["newest"] === (list.at(-1) ?? null), "the newest is the end of the list");
  holds(list.length === copies.size, "every copy is in the list");
  holds(bytes === copies.bytes, "bytes of copies are counted");
  holds(bytes <= copies["bytesMax"], "copies take no more than they may");
  holds(hand === null || list.includes(hand), "the hand is in the list");
}

function nearHolds(near: Rules, isIdle: boolean): void {
  const pending = [...near["pending"]];
  holds(near["generation"] >= 0, "generations grow");
  holds(
    pending.every(([key, { key: own, users }]) => key === own && users > 0),
    "what is pending has been asked",
  );
  holds(!isIdle || pending.length === 0, "nothing is pending when nobody waits for an answer");
}

function watchesHold(watches: Watches): void {
  for (const [prefix, watched] of watches["byPrefix"]) {
    holds(watched.prefix === prefix && watched.watches.size > 0, "a prefix is watched by somebody");
    for (const watch of watched.watches) {
      holds(watch.prefix === prefix && watch["phase"] === "open", "a watch of a prefix is open");
      watchHolds(watch);
    }
  }
}

function watchHolds(watch: Watch): void {
  const backlog = watch["backlog"].toArray();
  const bytes = backlog.reduce((sum, { key, reset }) => sum + 64 + 2 * (key ?? reset).length, 0);
  holds(bytes === watch["backlogBytes"] && bytes <= BACKLOG_BYTES_MAX, "changes that wait are counted");
  holds(backlog.length === 0 || watch["readers"].length === 0, "changes wait only while no reader does");
}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`does not hold: ${what}`);
}
