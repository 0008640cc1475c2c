/**
 * The entry that is open: its value, version and time to live, which follow what happens on the server; touch, delete, download. While it
 * is shown, it is looked at each second (INFO, which does not count as a read), so that expiry and eviction are seen as well.
 */
import { allow, describe, setText, the } from "./dom";
import { bytes, duration, ttlOf, whole } from "./format";
import { type Entry, readEntry, readWhole } from "./kv";
import type { Session } from "./session";
import { textIn } from "./values";
import { ValueView } from "./value-view";

interface Open {
  readonly key: string;
  /** As it was read last; null before that, and without the right to read it. */
  entry: Entry | null;
  /** That was seen last; null before that. */
  version: number | null;
  ttlMs: number | null;
}

/** What others do when an entry is opened, edited or gone. */
export interface EntryHooks {
  onEdit(key: string, text: string, entry: Entry, ttlMs: number | null): void;
  /** @param hadFocus whether the focus was at what is hidden now */
  onGone(key: string, hadFocus: boolean): void;
  /** Null where there is none any more. */
  onProblem(error: unknown): void;
}

export class EntryPane {
  private readonly pane = the(HTMLElement, "entry");
  private readonly title = the(HTMLElement, "entry-title");
  private readonly facts = the(HTMLElement, "entry-facts");
  private readonly state = the(HTMLElement, "entry-state");
  private readonly reason = the(HTMLElement, "entry-reason");
  private readonly edit = the(HTMLButtonElement, "edit");
  private readonly download = the(HTMLButtonElement, "download");
  private readonly confirm = the(HTMLDialogElement, "confirm");
  private readonly value = new ValueView();
  private open: Open | null = null;

  constructor(
    private readonly session: Session,
    private readonly hooks: EntryHooks,
  ) {
    const { rights } = session;
    const touch = the(HTMLFormElement, "touch");
    const remove = the(HTMLButtonElement, "delete");
    setText(this.reason, rights.against("touch", "delete", "get", "put") ?? "");
    allow(touch.querySelector("button")!, rights.against("touch"), this.reason);
    allow(remove, rights.against("delete"), this.reason);
    allow(this.download, rights.against("get"), this.reason);
    allow(this.edit, rights.against("get", "put"), this.reason);
    this.on(touch, "submit", () => this.touch());
    this.on(this.download, "click", () => this.save());
    this.on(this.edit, "click", () => this.beginEdit());
    this.on(remove, "click", () => this.askToDelete());
    this.on(this.confirm, "close", () => this.delete());
  }

  /** Shows an entry, and goes to its name. */
  async show(key: string): Promise<void> {
    this.open = { key, entry: null, version: null, ttlMs: null };
    this.pane.hidden = false;
    setText(this.title, key);
    setText(this.state, "");
    this.facts.replaceChildren();
    this.value.clear("…");
    this.title.focus();
    await this.refresh();
  }

  /** Looks whether the entry is still what is shown. */
  async refresh(): Promise<void> {
    const { open } = this;
    if (open === null) return;
    const info = await this.session.cache.info(open.key);
    if (info === null) return this.gone(open);
    open.ttlMs = info.ttlMs;
    open.version = info.version;
    if (open.entry?.version !== info.version && this.session.rights.may("get")) await this.read(open);
    if (this.open !== open) return;
    describe(this.facts, [
      ["Version", String(info.version)],
      ["Time to live", info.ttlMs === null ? "never expires" : duration(info.ttlMs)],
      ["Length", `${bytes(info.length)}${info.length < 1024 ? "" : ` (${whole(info.length)} bytes)`}`],
      ["Content-Type", open.entry?.contentType ?? "–"],
    ]);
    if (!this.session.rights.may("get")) this.value.clear(this.session.rights.against("get")!);
  }

  /** Of the element's own event, which has no other effect then. */
  private on(element: HTMLElement, event: string, act: () => void | Promise<void>): void {
    element.addEventListener(event, (happened) => {
      happened.preventDefault();
      this.hooks.onProblem(null);
      void (async () => act())().catch((error: unknown) => this.hooks.onProblem(error));
    });
  }

  private async read(open: Open): Promise<void> {
    const isOther = open.entry === null;
    const entry = await readEntry(this.session, open.key);
    if (this.open !== open || entry === null) return;
    open.entry = entry;
    this.value.show(entry, isOther);
    const cut = entry.isWhole
      ? ""
      : `The first ${bytes(entry.bytes.length)} are shown; a download has all of it.`;
    setText(this.state, isOther ? cut : `Changed on the server, and read again. ${cut}`);
    // What is not shown whole would be cut by an edit.
    this.edit.hidden = !entry.isWhole || textIn(entry) === null;
  }

  private gone(open: Open): void {
    this.open = null;
    this.facts.replaceChildren();
    this.value.clear("");
    const hadFocus = this.pane.contains(document.activeElement);
    this.pane.hidden = true;
    this.hooks.onGone(open.key, hadFocus);
  }

  private async touch(): Promise<void> {
    const { open } = this;
    if (open === null) return;
    const ttlMs = ttlOf(the(HTMLInputElement, "touch-ttl").value);
    const isThere = await this.session.cache.touch(open.key, ttlMs === undefined ? {} : { ttlMs });
    if (!isThere) return this.gone(open);
    setText(this.state, ttlMs === undefined ? "It no longer expires." : `It expires in ${duration(ttlMs)}.`);
    await this.refresh();
  }

  private async save(): Promise<void> {
    const { open } = this;
    if (open === null) return;
    const blob = await readWhole(this.session, open.key);
    if (blob === null) return this.gone(open);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = open.key.split("/").at(-1) || "value";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  private beginEdit(): void {
    const { key, entry, ttlMs } = this.open ?? {};
    if (key === undefined || !entry) return;
    this.hooks.onEdit(key, textIn(entry) ?? "", entry, ttlMs ?? null);
  }

  private askToDelete(): void {
    if (this.open === null) return;
    setText(the(HTMLElement, "confirm-text"), `Delete ${this.open.key}?`);
    this.confirm.returnValue = "";
    this.confirm.showModal();
  }

  /** Only what was seen: an entry that was changed meanwhile stays. */
  private async delete(): Promise<void> {
    const { open } = this;
    if (this.confirm.returnValue !== "delete" || open === null) return;
    const seen = open.entry?.version ?? open.version;
    if (seen === null) return;
    if (await this.session.cache.delete(open.key, { ifVersion: seen })) return this.gone(open);
    setText(this.state, "It was changed or removed by somebody else; nothing was deleted.");
    await this.refresh();
  }
}
