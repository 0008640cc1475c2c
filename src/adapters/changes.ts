/** Changes as callbacks that name each key as written or removed, which a watch of the client does not tell. */
import type { Cache, Change, Namespace } from "../client/client";

export type ChangeEvent = "update" | "remove";
export type Tell = (event: ChangeEvent, key: string) => unknown;

/**
 * Calls back on every change of these entries, whoever makes it, from when the promise resolves on. What a callback throws is an
 * uncaught error, and the next changes are told all the same.
 * @returns ends it; so does closing the client
 * @throws CacheError `busy` where the server watches too much for this connection, `forbidden`, or as every read
 */
export async function tellChanges(cache: Cache, entries: Namespace, tell: Tell): Promise<() => void> {
  const changes = entries.watch();
  const end = () => void changes.return!();
  const first = changes.next();
  try {
    // Answers come in order: with that of the ping the watch has begun, or its error arrives in the same turn.
    await Promise.race([first, cache.ping().then(nextTurn)]);
  } catch (error) {
    end();
    throw error;
  }
  // It ends with an error only where the client does, and then every call of the client says so.
  void tellEach(entries, following(first, changes), tell).catch(() => {});
  return end;
}

async function tellEach(entries: Namespace, changes: AsyncIterable<Change>, tell: Tell): Promise<void> {
  for await (const change of changes)
    for await (const [event, key] of eventsOf(entries, change)) queueMicrotask(() => tell(event, key));
}

/** After a reset each key that is there counts as written; which were removed, nobody knows. */
async function* eventsOf(
  entries: Namespace,
  { key, reset }: Change,
): AsyncGenerator<[ChangeEvent, string], void, undefined> {
  try {
    if (reset === undefined) yield [(await entries.has(key)) ? "update" : "remove", key];
    else for await (const there of entries.scan(reset)) yield ["update", there];
  } catch {
    // The connection broke: when it is there again, a reset comes.
  }
}

async function* following(
  first: Promise<IteratorResult<Change, undefined>>,
  rest: AsyncIterable<Change>,
): AsyncGenerator<Change, void, undefined> {
  const { done, value } = await first;
  if (done) return;
  yield value;
  yield* rest;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
