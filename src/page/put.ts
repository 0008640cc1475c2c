/** The form that puts. An entry that was opened for editing is replaced only while it is the one that was seen. */
import { allow, setText, the } from "./dom";
import { ttlOf } from "./format";
import { type Entry, putEntry } from "./kv";
import type { Session } from "./session";

export class PutForm {
  private readonly key = the(HTMLInputElement, "put-key");
  private readonly value = the(HTMLTextAreaElement, "put-value");
  private readonly type = the(HTMLInputElement, "put-type");
  private readonly ttl = the(HTMLInputElement, "put-ttl");
  private readonly isNew = the(HTMLInputElement, "put-new");
  private readonly state = the(HTMLElement, "put-state");
  /** What is being edited. */
  private edited: { key: string; version: number } | null = null;

  constructor(
    private readonly session: Session,
    private readonly onPut: (key: string) => void,
  ) {
    const reason = the(HTMLElement, "put-reason");
    setText(reason, session.rights.against("put") ?? "");
    allow(the(HTMLButtonElement, "put-button"), session.rights.against("put"), reason);
    this.key.value = session.rights.prefix;
    the(HTMLFormElement, "put").addEventListener("submit", (event) => {
      event.preventDefault();
      this.put().catch((error: unknown) => setText(this.state, String((error as Error).message)));
    });
  }

  /** Fills the form with an entry. */
  edit(key: string, text: string, entry: Entry, ttlMs: number | null): void {
    this.key.value = key;
    this.value.value = text;
    this.type.value = entry.contentType;
    this.ttl.value = ttlMs === null ? "" : `${Math.max(1, Math.ceil(ttlMs / 1000))}s`;
    this.isNew.checked = false;
    this.edited = { key, version: entry.version };
    setText(this.state, `Version ${entry.version} is replaced, if it is still there.`);
    this.value.focus();
  }

  private async put(): Promise<void> {
    if (this.session.rights.against("put") !== null) return;
    const { edited } = this;
    const key = this.key.value;
    const over = edited?.key === key ? edited.version : undefined;
    const version = await putEntry(this.session, {
      key,
      value: this.value.value,
      contentType: this.type.value,
      ttlMs: ttlOf(this.ttl.value),
      isNew: this.isNew.checked,
      over,
    });
    this.edited = null;
    if (version === null) return setText(this.state, refusal(over));
    setText(this.state, `Stored as version ${version}.`);
    this.onPut(key);
  }
}

function refusal(over: number | undefined): string {
  return over === undefined
    ? "Nothing was stored: there is an entry with this key."
    : "Nothing was stored: the entry was changed or removed meanwhile. Put again to store it all the same.";
}
