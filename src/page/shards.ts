/** The shards: a strip that shows fill and traffic of each at a glance, the words for the one under the pointer, and the busiest as a table. */
import { fillTable, make, setText, the } from "./dom";
import { percent, rate, whole } from "./format";
import { rove, stopAt } from "./roving";
import { operations, type ShardFigures, type Step } from "./stats";

const BUSIEST = 8;

interface ShardNow {
  readonly index: number;
  /** 0 to 1. */
  readonly fill: number;
  readonly entries: number;
  /** A second. */
  readonly operations: number;
  readonly evictions: number;
}

export class Shards {
  private readonly strip = the(HTMLOListElement, "strip");
  private readonly detail = the(HTMLElement, "shard-detail");
  private readonly busiest = the(HTMLTableSectionElement, "busiest");
  private bars: HTMLLIElement[] = [];
  private shown: readonly ShardNow[] = [];
  /** The one that is told in words. */
  private chosen = 0;

  constructor() {
    rove(this.strip, () => this.bars);
    this.strip.addEventListener("focusin", ({ target }) => this.choose(target));
    this.strip.addEventListener("pointerover", ({ target }) => this.choose(target));
  }

  draw(step: Step): void {
    this.shown = shardsNow(step);
    if (this.bars.length !== this.shown.length) this.makeBars(this.shown.length);
    const most = Math.max(1, ...this.shown.map((shard) => shard.operations));
    for (const shard of this.shown) {
      const { style } = this.bars[shard.index]!;
      style.setProperty("--fill", shard.fill.toFixed(3));
      style.setProperty("--heat", (shard.operations / most).toFixed(3));
      this.bars[shard.index]!.setAttribute("aria-label", inWords(shard));
    }
    this.tellChosen();
    const first = this.shown
      .toSorted((a, b) => b.operations - a.operations || a.index - b.index)
      .slice(0, BUSIEST);
    fillTable(this.busiest, first.map(cellsOf));
  }

  private makeBars(count: number): void {
    this.chosen = Math.min(this.chosen, count - 1);
    this.bars = Array.from({ length: count }, () => make("li"));
    stopAt(this.bars, this.bars[this.chosen]);
    this.strip.replaceChildren(...this.bars);
  }

  private choose(target: EventTarget | null): void {
    const at = this.bars.indexOf(target as HTMLLIElement);
    if (at < 0) return;
    this.chosen = at;
    this.tellChosen();
  }

  private tellChosen(): void {
    const shard = this.shown[this.chosen];
    if (shard !== undefined) setText(this.detail, inWords(shard));
  }
}

function shardsNow({ before, now, seconds }: Step): ShardNow[] {
  return now.shards.map((shard, index) => {
    const earlier = before.shards[index]!;
    const grown = (figure: (shard: ShardFigures) => number) =>
      Math.max(0, figure(shard) - figure(earlier)) / seconds;
    return {
      index,
      fill: shard.bytesLive / shard.bytesMax,
      entries: shard.entries,
      operations: grown(operations),
      evictions: grown(({ evictions }) => evictions),
    };
  });
}

function inWords({ index, fill, entries, operations, evictions }: ShardNow): string {
  const traffic = `${rate(operations)} operations and ${rate(evictions)} evictions a second`;
  return `Shard ${index}: ${percent(fill)} full, ${whole(entries)} entries, ${traffic}`;
}

function cellsOf({ index, fill, entries, operations, evictions }: ShardNow): string[] {
  return [String(index), percent(fill), rate(operations), whole(entries), rate(evictions)];
}
