/**
 * Who owns which slot, as CLUSTER SLOTS says it. A table is made anew from each answer; only MOVED changes one that is there.
 *
 * Invariant: a slot's owner is one of `masters`, or the slot has none.
 */
import { type Endpoint, endpointText } from "./address";
import type { Reply } from "./call";
import { SLOTS } from "./slots";

const NOBODY = -1;

/** A master, and where its slots begin. */
export interface Master {
  readonly endpoint: Endpoint;
  readonly name: string;
}

/** One range of CLUSTER SLOTS: first and last slot, both included. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: Endpoint;
  readonly replicas: readonly Endpoint[];
}

export class SlotTable {
  readonly masters: Master[] = [];
  /** Everybody that was named, replicas too: whom to ask when no master answers. */
  readonly known: readonly Endpoint[];
  private readonly owners = new Int16Array(SLOTS).fill(NOBODY);

  constructor(ranges: readonly SlotRange[]) {
    for (const { first, last, master } of [...ranges].sort((a, b) => a.first - b.first))
      this.owners.fill(this.indexOf(master), first, last + 1);
    this.known = ranges.flatMap(({ master, replicas }) => [master, ...replicas]);
  }

  ownerOf(slot: number): Master | null {
    return this.masters[this.owners[slot]!] ?? null;
  }

  /** The slot's owner has said that it is somebody else's now. */
  move(slot: number, to: Endpoint): void {
    this.owners[slot] = this.indexOf(to);
  }

  /** Slots that nobody owns. */
  get uncovered(): number {
    return this.owners.reduce((sum, owner) => (owner === NOBODY ? sum + 1 : sum), 0);
  }

  /** The least slot of each master, ascending: the order in which a walk visits all masters. */
  firstSlots(): number[] {
    const seen = new Set<number>([NOBODY]);
    const slots: number[] = [];
    this.owners.forEach((owner, slot) => {
      if (seen.has(owner)) return;
      seen.add(owner);
      slots.push(slot);
    });
    return slots;
  }

  invariants(): void {
    for (const owner of this.owners)
      if (owner !== NOBODY && this.masters[owner] === undefined)
        throw new Error("a slot's owner is not there");
    if (new Set(this.masters.map(({ name }) => name)).size !== this.masters.length)
      throw new Error("a master is there twice");
  }

  private indexOf(endpoint: Endpoint): number {
    const name = endpointText(endpoint);
    const index = this.masters.findIndex((master) => master.name === name);
    return index >= 0 ? index : this.masters.push({ endpoint, name }) - 1;
  }
}

/** A single server owns everything. */
export function wholeRange(endpoint: Endpoint): SlotRange[] {
  return [{ first: 0, last: SLOTS - 1, master: endpoint, replicas: [] }];
}

/** @param asked who answered: a node that does not know its own address says nothing for it */
export function rangesOf(reply: Reply, asked: Endpoint): SlotRange[] {
  return (reply as Reply[][]).map(([first, last, master, ...replicas]) => ({
    first: Number(first),
    last: Number(last),
    master: endpointOf(master as Reply[], asked),
    replicas: replicas.map((replica) => endpointOf(replica as Reply[], asked)),
  }));
}

function endpointOf([host, port]: Reply[], asked: Endpoint): Endpoint {
  const text = host?.toString() ?? "";
  return { host: text === "" || text === "?" ? asked.host : text.toLowerCase(), port: Number(port) };
}
