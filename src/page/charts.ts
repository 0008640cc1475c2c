/** One chart: lines over the last ten minutes, with a legend that tells the figures under the pointer, or else the last ones. */
import uPlot from "uplot";
import { make, setText } from "./dom";
import { type Figure, type History, WINDOW_S } from "./history";

export interface ChartForm {
  readonly title: string;
  readonly lines: readonly string[];
  /** A figure in the legend, and beside the axis. */
  readonly tell: (figure: number) => string;
  readonly axis?: (figure: number) => string;
  /** The axis ends here at least. */
  readonly mostAtLeast?: number;
}

/** Lines are told apart by more than their color. */
const DASHES: number[][] = [[], [8, 4], [2, 3], [8, 3, 2, 3], [4, 4]];
const HEIGHT = 140;
const AXIS_WIDTH = 54;
/** All charts show the same moment under the pointer. */
const TOGETHER = uPlot.sync("time");

export class Chart {
  readonly element = make("figure", "plot");
  private readonly host = make("div", "chart");
  private readonly legend = make("ul", "legend");
  private readonly values: HTMLElement[] = [];
  private plot: uPlot | null = null;

  constructor(
    private readonly form: ChartForm,
    private readonly history: History,
  ) {
    this.host.setAttribute("role", "img");
    this.legend.replaceChildren(...form.lines.map((line, i) => this.legendItem(line, i)));
    this.element.append(this.host, this.legend);
    new ResizeObserver(() => this.resize()).observe(this.host);
    // Colors are read when a plot is made.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.remake());
  }

  /** Shows what the history holds now. */
  draw(): void {
    if (this.host.clientWidth === 0) return;
    this.plot ??= this.makePlot();
    this.plot.setData(this.data());
    this.tellAt(this.plot.cursor.idx ?? null);
    const { bounds } = this.history;
    const { title, tell } = this.form;
    const said =
      bounds === null
        ? "no figures yet"
        : `now ${this.lastTexts().join(", ")}; least ${tell(bounds.least)}, most ${tell(bounds.most)}`;
    this.host.setAttribute("aria-label", `${title}, the last ten minutes: ${said}`);
  }

  private lastTexts(): string[] {
    const { lines } = this.form;
    return this.history.last.map((figure, i) => {
      const text = this.text(figure);
      return lines.length === 1 ? text : `${lines[i]} ${text}`;
    });
  }

  private legendItem(line: string, i: number): HTMLLIElement {
    const mark = make("i");
    mark.style.setProperty("--color", `var(--series-${i})`);
    if (i > 0) mark.style.borderTopStyle = i % 2 === 1 ? "dashed" : "dotted";
    const value = make("span");
    this.values.push(value);
    return make("li", "", mark, `${line} `, value);
  }

  /** @param at index of a sample; null for the last */
  private tellAt(at: number | null): void {
    const { columns, last } = this.history;
    for (const [i, value] of this.values.entries())
      setText(value, this.text(at === null ? last[i]! : (columns[i]![at] ?? null)));
  }

  private text(figure: Figure): string {
    return figure === null ? "–" : this.form.tell(figure);
  }

  private data(): uPlot.AlignedData {
    return [this.history.times, ...this.history.columns];
  }

  private resize(): void {
    const width = this.host.clientWidth;
    if (width === 0) return;
    if (this.plot === null) this.draw();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
  }

  private remake(): void {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  private makePlot(): uPlot {
    const style = getComputedStyle(this.host);
    const color = (name: string) => resolved(this.host, style.getPropertyValue(name));
    const axis = {
      stroke: color("--quiet"),
      grid: { stroke: color("--grid"), width: 1 },
      ticks: { show: false },
    };
    const { lines, tell, axis: tellAxis = tell, mostAtLeast = 1 } = this.form;
    return new uPlot(
      {
        width: this.host.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: TOGETHER.key }, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { range: (_, __, end) => [end - WINDOW_S, end] },
          y: { range: (_, __, most) => [0, Math.max(mostAtLeast, (most ?? 0) * 1.05)] },
        },
        axes: [
          { ...axis, size: 26, values: (_, splits) => splits.map(clock) },
          { ...axis, size: AXIS_WIDTH, values: (_, splits) => splits.map(tellAxis) },
        ],
        series: [
          {},
          ...lines.map((label, i) => ({
            label,
            stroke: color(`--series-${i}`),
            width: 1.75,
            dash: DASHES[i]!,
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [({ cursor }) => this.tellAt(cursor.idx ?? null)] },
      },
      this.data(),
      this.host,
    );
  }
}

function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** A canvas knows no `light-dark()`: what the browser makes of it. */
function resolved(host: HTMLElement, color: string): string {
  host.style.color = color;
  const { color: plain } = getComputedStyle(host);
  host.style.color = "";
  return plain;
}
