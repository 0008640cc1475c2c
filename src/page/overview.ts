/** The overview: figures of the whole server, with charts of the last ten minutes. */
import { Chart, type ChartForm } from "./charts";
import { fillTable, make, setText, the } from "./dom";
import { bytes, percent, rate, short, whole } from "./format";
import { type Figure, History } from "./history";
import {
  allCommands,
  hasStreams,
  hitRatio,
  originCalls,
  originChanges,
  originErrors,
  perSecond,
  type Stats,
  type Step,
  trafficBytes,
} from "./stats";

/** Verbs that have a line of their own; the others share one. */
const VERBS = ["get", "put", "delete", "add"];

interface PanelForm extends ChartForm {
  /** The figures of the lines; a step is null after a start. */
  figures(stats: Stats, step: Step | null): Figure[];
  /** The headline, and what stands below it. */
  now(stats: Stats, step: Step | null): readonly [headline: string, beside: string];
  /** Whether there is anything to show; always, where it is absent. */
  isThere?(stats: Stats): boolean;
}

const each = (step: Step | null, figure: (stats: Stats) => number): Figure =>
  step === null ? null : perSecond(step, figure);
const of = (verb: string) => (stats: Stats) => stats.commands[verb] ?? 0;
const other = (stats: Stats) => VERBS.reduce((left, verb) => left - of(verb)(stats), allCommands(stats));
const evictions = (stats: Stats) => stats.evictions;
const expirations = (stats: Stats) => stats.expirations;
const received = (stats: Stats) => trafficBytes(stats, "bytesIn");
const sent = (stats: Stats) => trafficBytes(stats, "bytesOut");
const latest = ({ eventLoopLag }: Stats) => Math.max(0, ...eventLoopLag);
const pushed = (stats: Stats) => stats.keysPushed;

const PANELS: readonly PanelForm[] = [
  {
    title: "Operations a second",
    lines: [...VERBS, "others"],
    tell: rate,
    axis: short,
    figures: (_, step) => [...VERBS.map((verb) => each(step, of(verb))), each(step, other)],
    now: (stats, step) => [rate(each(step, allCommands)), `${whole(allCommands(stats))} since the start`],
  },
  {
    title: "Hit ratio",
    lines: ["hits among reads"],
    tell: percent,
    mostAtLeast: 1,
    figures: (stats, step) => [step === null ? null : hitRatio(step.before, stats)],
    now: (stats, step) => [
      percent(step === null ? null : hitRatio(step.before, stats)),
      `${percent(hitRatio(null, stats))} since the start: ${whole(stats.hits)} hits, ${whole(stats.misses)} misses`,
    ],
  },
  {
    title: "Memory",
    lines: ["used", "live entries", "allowed"],
    tell: bytes,
    isBytes: true,
    figures: ({ bytesUsed, bytesLive, bytesMax }) => [bytesUsed, bytesLive, bytesMax],
    now: ({ bytesUsed, bytesLive, bytesMax, entries }) => [
      `${bytes(bytesUsed)} of ${bytes(bytesMax)}`,
      `${whole(entries)} entries; live ones fill ${percent(bytesLive / bytesMax)}`,
    ],
  },
  {
    title: "Evictions and expirations a second",
    lines: ["evictions", "expirations"],
    tell: rate,
    axis: short,
    figures: (_, step) => [each(step, evictions), each(step, expirations)],
    now: (stats, step) => [
      `${rate(each(step, evictions))} evicted, ${rate(each(step, expirations))} expired`,
      `since the start ${whole(stats.evictions)} and ${whole(stats.expirations)}`,
    ],
  },
  {
    title: "Connections",
    lines: ["WebSockets", "event streams"],
    tell: whole,
    axis: short,
    mostAtLeast: 4,
    figures: ({ connections, eventStreams }) => [connections, eventStreams],
    now: ({ connections, eventStreams, connectionsMax, connectionsRefused }) => [
      whole(connections + eventStreams),
      `at most ${whole(connectionsMax)}; ${whole(connectionsRefused)} refused`,
    ],
  },
  {
    title: "Traffic a second",
    lines: ["in", "out"],
    tell: bytes,
    isBytes: true,
    mostAtLeast: 1024,
    figures: (_, step) => [each(step, received), each(step, sent)],
    now: (stats, step) => [
      `${bytes(each(step, received) ?? 0)} in, ${bytes(each(step, sent) ?? 0)} out`,
      `since the start ${bytes(received(stats))} and ${bytes(sent(stats))}`,
    ],
  },
  {
    title: "Workers",
    lines: ["event loop lag, ms"],
    tell: whole,
    mostAtLeast: 10,
    figures: (stats) => [latest(stats)],
    now: (stats) => [
      `${whole(stats.workers)} at work`,
      `${whole(stats.workerRestarts)} restarts, ${whole(stats.workerHangs)} of them hung; at most ${whole(latest(stats))} ms late`,
    ],
  },
  {
    title: "Changes told to watches and near caches",
    lines: ["keys a second"],
    tell: rate,
    axis: short,
    figures: (_, step) => [each(step, pushed)],
    now: (stats, step) => [
      rate(each(step, pushed)),
      `${whole(stats.watches)} keys and ${whole(stats.prefixes)} prefixes watched; ${whole(stats.leases)} leases, ${whole(stats.tickets)} waiting`,
    ],
    isThere: hasStreams,
  },
  {
    title: "Origin, calls a second",
    lines: ["calls", "failed", "changes told"],
    tell: rate,
    axis: short,
    figures: (_, step) => [each(step, originCalls), each(step, originErrors), each(step, originChanges)],
    now: (stats, step) => [rate(each(step, originCalls)), originText(stats)],
    isThere: ({ origin }) => origin !== undefined,
  },
];

function originText({ origin }: Stats): string {
  if (origin === undefined) return "";
  const { status, reason, tracking, traffic } = origin;
  const health = reason === null ? status : `${status}: ${reason}`;
  return `${health}; ${whole(tracking.connections)} masters tell changes; 99 % of calls took ${whole(Math.ceil(traffic.service.p99))} ms at most`;
}

class Panel {
  private readonly headline = make("p", "now");
  private readonly beside = make("p", "beside");
  private readonly history: History;
  private readonly chart: Chart;
  readonly element: HTMLElement;

  constructor(
    private readonly form: PanelForm,
    id: string,
  ) {
    this.history = new History(form.lines.length);
    this.chart = new Chart(form, this.history);
    const title = make("h2", "", form.title);
    title.id = id;
    this.element = make("section", "card panel", title, this.headline, this.beside, this.chart.element);
    this.element.setAttribute("aria-labelledby", id);
  }

  take(stats: Stats, step: Step | null, at: number): void {
    this.element.hidden = this.form.isThere?.(stats) === false;
    this.history.add(at / 1000, this.form.figures(stats, step));
  }

  draw(stats: Stats, step: Step | null): void {
    const [headline, beside] = this.form.now(stats, step);
    setText(this.headline, headline);
    setText(this.beside, beside);
    this.chart.draw();
  }
}

export class Overview {
  private readonly panels = PANELS.map((form, i) => new Panel(form, `panel-${i}`));
  private readonly verbs = the(HTMLTableSectionElement, "verbs");

  constructor() {
    the(HTMLElement, "panels").replaceChildren(...this.panels.map(({ element }) => element));
  }

  /** Remembers a reading, whether it is shown or not. */
  take(stats: Stats, step: Step | null, at: number): void {
    for (const panel of this.panels) panel.take(stats, step, at);
  }

  draw(stats: Stats, step: Step | null): void {
    for (const panel of this.panels) panel.draw(stats, step);
    const counts = Object.entries(stats.commands);
    fillTable(
      this.verbs,
      counts.map(([verb, count]) => [verb, rate(each(step, of(verb))), whole(count)]),
    );
  }
}
