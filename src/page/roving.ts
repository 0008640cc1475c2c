/** A row of things that is one stop for Tab: arrows, Home and End go from one to the next. */

const NEXT: Record<string, (at: number, count: number) => number> = {
  ArrowRight: (at, count) => (at + 1) % count,
  ArrowDown: (at, count) => (at + 1) % count,
  ArrowLeft: (at, count) => (at + count - 1) % count,
  ArrowUp: (at, count) => (at + count - 1) % count,
  Home: () => 0,
  End: (_, count) => count - 1,
};

/** @param items those of the host, in their order; which they are may change */
export function rove(host: HTMLElement, items: () => readonly HTMLElement[]): void {
  host.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target as HTMLElement);
    const next = NEXT[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    all[next(at, all.length)]!.focus();
  });
  host.addEventListener("focusin", ({ target }) => stopAt(items(), target as HTMLElement));
}

/** Tab comes to this one. */
export function stopAt(all: readonly HTMLElement[], one: HTMLElement | undefined): void {
  for (const item of all) item.tabIndex = item === one ? 0 : -1;
}
