/**
 * The example page: a list that stays in step in every tab. `watch` says which items change, and the near cache answers all reads,
 * for which it asks the server only what has changed.
 *
 * Since such reads cost next to nothing, everything is read again and again. So the page can say how old at most it is what it
 * shows: what was read at a moment was the server's no more than MAX_AGE_MS before.
 */
import { type Cache, connect } from "../client";

const PREFIX = "two-tabs:";
const MAX_AGE_MS = 1000;
const REFRESH_MS = 250;

const element = <E extends Element>(selector: string) => document.querySelector<E>(selector)!;
const state = element("#state");
const problem = element("#problem");
const age = element("#age");
const list = element("ul");
const input = element<HTMLInputElement>("input");

/** Keys of all items, also of those that were removed: they may be put again. */
const keys = new Set<string>();
/** Changes may have been missed. */
let mustScan = true;
/** Ends the pause between two readings. */
let wake = () => {};
/** When what is shown was read. */
let readAt = -Infinity;

/** Hears of changes, for as long as the page lives. */
async function follow(cache: Cache): Promise<void> {
  for await (const change of cache.watch(PREFIX)) {
    if (change.reset === undefined) keys.add(change.key);
    else mustScan = true;
    wake();
  }
}

/** Reads everything, again and again. What cannot be read stays as it is, and its age says so. */
async function keepReading(cache: Cache): Promise<never> {
  for (;;) {
    const news = new Promise<void>((resolve) => (wake = resolve));
    await readAll(cache).catch(() => (mustScan = true));
    await Promise.race([news, new Promise((resolve) => setTimeout(resolve, REFRESH_MS))]);
  }
}

async function readAll(cache: Cache): Promise<void> {
  const startedAt = performance.now();
  if (mustScan) {
    mustScan = false;
    for await (const key of cache.scan(PREFIX)) keys.add(key);
  }
  // They begin with the time at which their items were made.
  const names = [...keys].sort();
  const texts = await cache.many(names);
  for (const [i, key] of names.entries()) show(cache, key, texts[i]!);
  readAt = startedAt;
}

function show(cache: Cache, key: string, text: string | null): void {
  const before = document.getElementById(key);
  if (text === null) return before?.remove();
  const item = before ?? newItem(cache, key);
  const [label, button] = item.children;
  if (label!.textContent === text) return;
  label!.textContent = text;
  button!.setAttribute("aria-label", `Remove ${text}`);
}

/** In its place in the list. */
function newItem(cache: Cache, key: string): HTMLLIElement {
  const item = document.createElement("li");
  item.id = key;
  const button = document.createElement("button");
  button.textContent = "Remove";
  button.onclick = () => {
    input.focus();
    void write(() => cache.delete(key));
  };
  item.append(document.createElement("span"), button);
  list.insertBefore(item, [...list.children].find(({ id }) => id > key) ?? null);
  return item;
}

async function write(change: () => Promise<unknown>): Promise<void> {
  problem.textContent = "";
  try {
    await change();
  } catch (error) {
    problem.textContent = (error as Error).message;
  }
}

function tellAge(): void {
  const seconds = (performance.now() - readAt + MAX_AGE_MS) / 1000;
  age.textContent = Number.isFinite(seconds) ? `at most ${seconds.toFixed(1)} seconds ago` : "…";
}

async function begin(): Promise<void> {
  const server = new URLSearchParams(location.search).get("server") ?? "ws://localhost:7171";
  const token = decodeURIComponent(location.hash.slice(1));
  const cache = await connect(server, {
    near: { maxAgeMs: MAX_AGE_MS },
    ...(token !== "" && { token }),
  });
  const tell = (text: string) => void (state.textContent = text);
  cache.on("close", ({ willReconnect }) => tell(willReconnect ? "Connection lost" : "Closed by the server"));
  cache.on("reconnecting", ({ attempt }) => tell(`Connecting again, attempt ${attempt}…`));
  cache.on("open", () => tell("Connected"));
  tell("Connected");
  element<HTMLFormElement>("form").onsubmit = (event) => {
    event.preventDefault();
    const key = `${PREFIX}${Date.now()}-${Math.random()}`;
    const text = input.value;
    input.value = "";
    void write(() => cache.put(key, text));
  };
  setInterval(tellAge, 100);
  void keepReading(cache);
  await follow(cache);
}

begin().catch((error: Error) => {
  state.textContent = "Not connected";
  problem.textContent = error.message;
});
