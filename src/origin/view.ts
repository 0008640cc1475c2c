/**
 * What a node says of itself and the others: CLUSTER NODES of a cluster, HELLO of a single server.
 *
 *   id  ip:port@bus,hostname  myself,master  -  ping  pong  configEpoch  connected  0-5460 5500 [93->-id]
 *
 * One answer says all that matters together: whether the node is a master, its epoch, its slots, which of them are on their way to another node
 * (in brackets), and which masters there are.
 */
import { type Resp3Value, textOf } from "./resp3";
import { SLOTS } from "./slots";

export interface View {
  readonly isMaster: boolean;
  /** Raised whenever the node takes slots over from another one; 0 for a single server. */
  readonly epoch: number;
  /** Those that it owns and that are not on their way elsewhere; the same object as in the view before where they are the same. */
  readonly slots: Uint16Array;
  /** The text that `slots` was made of. */
  readonly slotsText: string;
  /** Addresses of all masters that own slots. */
  readonly masters: readonly string[];
}

const NO_SLOTS = new Uint16Array(0);
const ALL_SLOTS = Uint16Array.from({ length: SLOTS }, (_, slot) => slot);

/** @param address of the node as it was connected to @param previous what it said before, or null */
export function viewOfCluster(text: string, address: string, previous: View | null): View {
  const nodes = text
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  const self = nodes.find(([, , flags]) => flags?.split(",").includes("myself"));
  if (self === undefined || self.length < 8) throw new Error("CLUSTER NODES does not name the node itself");
  const isMaster = self[2]!.split(",").includes("master");
  const slotsText = isMaster ? self.slice(8).join(" ") : "";
  return {
    isMaster,
    epoch: Number(self[6]),
    slotsText,
    slots: previous?.slotsText === slotsText ? previous.slots : slotsOf(slotsText),
    masters: nodes
      .filter(([, , flags, , , , , , slot]) => slot !== undefined && flags!.split(",").includes("master"))
      .map(([, each]) => addressOf(each!, address)),
  };
}

/** @param hello the answer to HELLO of a server that is in no cluster */
export function viewOfServer(hello: ReadonlyMap<string, Resp3Value>, address: string): View {
  const isMaster = textOf(hello.get("role")) === "master";
  return {
    isMaster,
    epoch: 0,
    slotsText: "",
    slots: isMaster ? ALL_SLOTS : NO_SLOTS,
    masters: isMaster ? [address] : [],
  };
}

/** `ip:port@bus,hostname,…`; a node that nobody has told its IP leaves it out. */
function addressOf(text: string, own: string): string {
  const [address] = text.split("@", 1);
  const port = address!.slice(address!.lastIndexOf(":") + 1);
  return address!.startsWith(":") ? `${own.slice(0, own.lastIndexOf(":"))}:${port}` : address!;
}

/** Of `0-5460 5500 [93->-id] [94-<-id]`: 93 is on its way, 94 is not here yet and no part of a range. */
function slotsOf(text: string): Uint16Array {
  const owned = new Uint8Array(SLOTS);
  for (const [, first, last = first] of text.matchAll(/(?<!\S)(\d+)(?:-(\d+))?(?!\S)/g))
    owned.fill(1, Number(first), Number(last) + 1);
  for (const [, moving] of text.matchAll(/\[(\d+)->-/g)) owned[Number(moving)] = 0;
  return ALL_SLOTS.filter((slot) => owned[slot] === 1);
}
