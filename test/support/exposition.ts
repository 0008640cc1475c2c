/** Prometheus text (exposition format 0.0.4) as a table, read strictly: what is no such text is an error. */

export interface Sample {
  /** With its suffix, where it belongs to a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  /** Types by the name of the metric. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
  /** The value of the one sample with this name and these labels; NaN where there is none. */
  value(name: string, labels?: Record<string, string>): number;
}

const NAME = /^[a-z][a-z_]*$/;
const SAMPLE = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)$/;
const LABEL = /^([a-z]+)="([^"\\]*)"$/;
const SUFFIXES = ["_bucket", "_sum", "_count"];

export function parseExposition(text: string): Exposition {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const samples: Sample[] = [];
  for (const line of text.trimEnd().split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (\S.*)$/.exec(line) ?? [];
    if (kind === "HELP" && NAME.test(name!) && !helped.has(name!)) helped.add(name!);
    else if (kind === "TYPE" && /^(counter|gauge|histogram)$/.test(rest!) && !types.has(name!))
      types.set(name!, rest!);
    else samples.push(sampleOf(line, types));
  }
  const value = (name: string, labels: Record<string, string> = {}) => {
    const wanted = JSON.stringify(labels);
    const found = samples.filter(
      (sample) => sample.name === name && JSON.stringify(sample.labels) === wanted,
    );
    if (found.length > 1) throw new Error(`${name} ${wanted} is there ${found.length} times`);
    return found[0]?.value ?? NaN;
  };
  return { types, samples, value };
}

/** A sample of a metric whose type was said before. */
function sampleOf(line: string, types: ReadonlyMap<string, string>): Sample {
  const [, name, inner, number] = SAMPLE.exec(line) ?? [];
  if (name === undefined || !Number.isFinite(Number(number))) throw new Error(`no sample: ${line}`);
  const suffix = SUFFIXES.find((end) => name.endsWith(end)) ?? "";
  const isHistogram = types.get(name.slice(0, name.length - suffix.length)) === "histogram";
  if (!types.has(name) && !(suffix !== "" && isHistogram)) throw new Error(`no type was said: ${line}`);
  const labels = (inner ?? "")
    .split(",")
    .filter((label) => label !== "")
    .map((label) => {
      const [, key, value] = LABEL.exec(label) ?? [];
      if (key === undefined) throw new Error(`no label: ${line}`);
      return [key, value!] as const;
    });
  return { name, labels: Object.fromEntries(labels), value: Number(number) };
}

/** The metrics of a server, over a connection of its own. */
export async function metricsOf(http: string, headers: Record<string, string> = {}): Promise<Exposition> {
  const response = await fetch(`${http}/metrics`, { keepalive: false, headers });
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  return parseExposition(await response.text());
}
