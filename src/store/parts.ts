/** The mechanisms of one shard that the others are built from, over one block. */
import { Entries } from "./entry";
import { Ghost } from "./ghost";
import { Intent } from "./intent";
import { RingId } from "./layout";
import { Lifecycle } from "./lifecycle";
import type { Block } from "./memory";
import { Pages } from "./pages";
import { Ring, type Rings } from "./ring";
import { Table } from "./table";

export interface ShardParts {
  readonly block: Block;
  readonly intent: Intent;
  readonly pages: Pages;
  readonly entries: Entries;
  readonly rings: Rings;
  readonly table: Table;
  readonly ghost: Ghost;
  readonly lifecycle: Lifecycle;
}

export function partsOf(block: Block): ShardParts {
  const intent = new Intent(block.words);
  const pages = new Pages(block);
  const entries = new Entries(block, pages);
  const rings: Rings = [
    new Ring(block, pages, entries, intent, RingId.GUEST),
    new Ring(block, pages, entries, intent, RingId.SMALL),
    new Ring(block, pages, entries, intent, RingId.MAIN),
  ];
  const table = new Table(block, pages, entries);
  const ghost = new Ghost(block, pages);
  const lifecycle = new Lifecycle(block, pages, entries, table, rings);
  return { block, intent, pages, entries, rings, table, ghost, lifecycle };
}
