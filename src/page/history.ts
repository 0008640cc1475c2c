/**
 * The last ten minutes of some figures, in columns as the charts take them: the times in seconds, then one column for each figure.
 *
 * Invariant: all columns are equally long, at most SAMPLES_MAX, and no time is older than WINDOW_S before the last.
 */
export const WINDOW_S = 600;
export const SAMPLES_MAX = 600;

/** Null where there is no figure: the line has a gap. */
export type Figure = number | null;

export class History {
  readonly times: number[] = [];
  readonly columns: Figure[][];

  constructor(figures: number) {
    this.columns = Array.from({ length: figures }, () => []);
  }

  /** @param at seconds; where it is not later than the last, the clock was set back, and the history begins anew */
  add(at: number, figures: readonly Figure[]): void {
    while (this.times.length > 0 && this.times.at(-1)! >= at) this.dropFirst();
    this.times.push(at);
    for (const [i, column] of this.columns.entries()) column.push(figures[i] ?? null);
    while (this.times.length > SAMPLES_MAX || this.times[0]! < at - WINDOW_S) this.dropFirst();
  }

  get last(): Figure[] {
    return this.columns.map((column) => column.at(-1) ?? null);
  }

  /** Least and most of all figures; null where there is none. */
  get bounds(): { least: number; most: number } | null {
    const all = this.columns.flat().filter((figure) => figure !== null);
    if (all.length === 0) return null;
    return { least: Math.min(...all), most: Math.max(...all) };
  }

  /** For tests: throws where the invariant does not hold. */
  invariants(): void {
    const { times, columns } = this;
    if (columns.some((column) => column.length !== times.length)) throw new Error("columns differ in length");
    if (times.length > SAMPLES_MAX) throw new Error("too many samples");
    if (times.some((time, i) => i > 0 && time <= times[i - 1]!)) throw new Error("times do not grow");
    if (times.length > 0 && times[0]! < times.at(-1)! - WINDOW_S) throw new Error("a sample is too old");
  }

  private dropFirst(): void {
    this.times.shift();
    for (const column of this.columns) column.shift();
  }
}
