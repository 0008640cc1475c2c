/** Tabs as the ARIA patterns have them: arrows go from tab to tab and show what belongs to each, and Tab goes into it. */
import { the } from "./dom";
import { rove, stopAt } from "./roving";

export class Tabs {
  private readonly tabs = [...document.querySelectorAll<HTMLButtonElement>('[role="tab"]')];

  /** @param onShow is told which panel is shown now */
  constructor(private readonly onShow: (panel: string) => void) {
    rove(this.tabs[0]!.parentElement!, () => this.tabs);
    for (const tab of this.tabs)
      for (const event of ["focus", "click"]) tab.addEventListener(event, () => this.show(panelOf(tab)));
  }

  /** The panel that the address names, or else this one. */
  showFirst(otherwise: string): void {
    const named = location.hash.slice(1);
    this.show(this.tabs.some((tab) => panelOf(tab) === named) ? named : otherwise);
  }

  private show(panel: string): void {
    for (const tab of this.tabs) {
      const isShown = panelOf(tab) === panel;
      tab.setAttribute("aria-selected", String(isShown));
      the(HTMLElement, panelOf(tab)).hidden = !isShown;
      if (isShown) stopAt(this.tabs, tab);
    }
    history.replaceState(null, "", `#${panel}`);
    this.onShow(panel);
  }
}

function panelOf(tab: HTMLButtonElement): string {
  return tab.getAttribute("aria-controls")!;
}
