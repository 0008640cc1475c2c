/** One chart: lines over the last ten minutes, with a legend that tells the figures under the pointer, or else the last ones. */
import uPlot from "uplot";
import { make, setText } from "./dom";
import type { Figure, History } from "./history";

export interface ChartForm {
  readonly title: string;
  readonly lines: readonly string[];
  /** A figure in the legend, and beside the axis. */
  readonly tell: (figure: number) => string;
  readonly axis?: (figure: number) => string;
  /** The figures are bytes. */
  readonly isBytes?: true;
  /** The axis ends here at least. */
  readonly mostAtLeast?: number;
}

/** Lines are told apart by more than their color. */
const DASHES: number[][] = [[], [8, 4], [2, 3], [8, 3, 2, 3], [4, 4]];
const HEIGHT = 112;
/** The axis of a page that was just opened begins in the past, so that its lines do not seem to race. */
const SPAN_S_MIN = 60;
const AXIS_WIDTH = 58;
const TIME_SPACE = 90;
/** Up to this span the axis tells seconds. */
const SECONDS_SPAN_S = 180;
/** Steps of an axis of bytes: powers of two. */
const BYTE_STEPS = Array.from({ length: 45 }, (_, power) => 2 ** power);
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
          x: { range: (_, start, end) => [Math.min(start, end - SPAN_S_MIN), end] },
          y: { range: (_, __, most) => [0, Math.max(mostAtLeast, (most ?? 0) * 1.05)] },
        },
        axes: [
          { ...axis, size: 26, space: TIME_SPACE, values: (_, splits) => splits.map(clockFor(splits)) },
          {
            ...axis,
            size: AXIS_WIDTH,
            values: (_, splits) => splits.map(tellAxis),
            ...(this.form.isBytes && { incrs: BYTE_STEPS }),
          },
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

/** The time of day, as exactly as these moments need it. */
function clockFor(moments: readonly number[]): (seconds: number) => string {
  const span = (moments.at(-1) ?? 0) - (moments[0] ?? 0);
  const time = new Intl.DateTimeFormat([], {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...(span <= SECONDS_SPAN_S && { second: "2-digit" as const }),
  });
  return (seconds) => time.format(seconds * 1000);
}

/** A canvas knows no `light-dark()`: what the browser makes of it. */
function resolved(host: HTMLElement, color: string): string {
  host.style.color = color;
  const { color: plain } = getComputedStyle(host);
  host.style.color = "";
  return plain;
}
