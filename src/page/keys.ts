/** The keys: a list by prefix, a page at a time, beside the entry that is open and the form that puts. */
import { allow, make, setText, the } from "./dom";
import { EntryPane } from "./entry";
import { whole } from "./format";
import { PutForm } from "./put";
import { rove, stopAt } from "./roving";
import type { Session } from "./session";

const PAGE_KEYS = 200;

export class Keys {
  private readonly list = the(HTMLElement, "key-list");
  private readonly found = the(HTMLElement, "found");
  private readonly more = the(HTMLButtonElement, "more");
  private readonly prefix = the(HTMLInputElement, "prefix");
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private readonly entry: EntryPane;
  /** The scan under way; another one takes its place. */
  private scan: AsyncGenerator<string, void, undefined> | null = null;
  private isLooking = false;
  /** The key of the entry that is open. */
  private current: string | null = null;

  constructor(
    private readonly session: Session,
    private readonly onProblem: (error: unknown) => void,
  ) {
    const { rights } = session;
    const put = new PutForm(session, (key) => this.onPut(key));
    this.entry = new EntryPane(session, {
      onProblem,
      onEdit: (key, text, entry, ttlMs) => put.edit(key, text, entry, ttlMs),
      onGone: (key, hadFocus) => this.onGone(key, hadFocus),
    });
    const form = the(HTMLFormElement, "browse");
    const reason = the(HTMLElement, "browse-reason");
    this.prefix.value = rights.prefix;
    setText(reason, rights.against("scan") ?? scope(rights.prefix));
    allow(form.querySelector("button")!, rights.against("scan"), reason);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.browse());
    });
    this.more.addEventListener("click", () => void this.guarded(() => this.showMore()));
    rove(this.list, () => [...this.buttons.values()]);
  }

  /** The section is shown: the list is made when it is seen first. */
  begin(): void {
    if (this.scan === null && this.session.rights.may("scan")) void this.guarded(() => this.browse());
  }

  /** Follows what happens to the entry that is open; one look at a time. */
  async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    // What fails now is tried again in a second, and the connection tells its state by itself.
    await this.entry.refresh().catch(() => {});
    this.isLooking = false;
  }

  private async guarded(act: () => Promise<void>): Promise<void> {
    try {
      this.onProblem(null);
      await act();
    } catch (error) {
      this.onProblem(error);
    }
  }

  private async browse(): Promise<void> {
    const scan = this.session.cache.scan(this.prefix.value);
    this.scan = scan;
    this.buttons.clear();
    this.list.replaceChildren();
    this.more.hidden = true;
    setText(this.found, "Looking…");
    try {
      await this.showMore();
    } catch (error) {
      if (this.scan === scan) setText(this.found, "");
      throw error;
    }
  }

  private async showMore(): Promise<void> {
    const { scan } = this;
    if (scan === null) return;
    const keys: string[] = [];
    let isDone = false;
    while (keys.length < PAGE_KEYS && !isDone) {
      const { value, done } = await scan.next();
      isDone = done === true;
      if (value !== undefined && !this.buttons.has(value)) keys.push(value);
    }
    if (this.scan !== scan) return;
    const first = keys.sort().map((key) => this.add(key))[0];
    if (this.more === document.activeElement) first?.focus();
    this.more.hidden = isDone;
    this.count(!isDone);
  }

  private count(hasMore: boolean): void {
    const { size } = this.buttons;
    setText(
      this.found,
      size === 0 ? "No keys." : `${whole(size)} keys${hasMore ? ", and there are more" : ""}.`,
    );
  }

  private add(key: string): HTMLButtonElement {
    const button = make("button", "", key);
    button.type = "button";
    if (key === this.current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => void this.guarded(() => this.open(key)));
    this.buttons.set(key, button);
    this.list.append(make("li", "", button));
    stopAt([...this.buttons.values()], this.buttons.values().next().value);
    return button;
  }

  private async open(key: string): Promise<void> {
    if (this.current !== null) this.buttons.get(this.current)?.removeAttribute("aria-current");
    this.current = key;
    this.buttons.get(key)?.setAttribute("aria-current", "true");
    await this.entry.show(key);
  }

  private onPut(key: string): void {
    if (!this.buttons.has(key) && key.startsWith(this.prefix.value)) this.add(key);
    this.count(!this.more.hidden);
    void this.guarded(() => this.open(key));
  }

  private onGone(key: string, hadFocus: boolean): void {
    const button = this.buttons.get(key);
    button?.parentElement?.remove();
    this.buttons.delete(key);
    setText(this.found, `There is no entry ${key} any more: it was deleted, has expired or was evicted.`);
    const next = this.buttons.values().next().value;
    stopAt([...this.buttons.values()], next);
    if (hadFocus) (next ?? this.prefix).focus();
  }
}

function scope(prefix: string): string {
  return prefix === "" ? "" : `This token sees keys that begin with ${prefix}, and no others.`;
}
