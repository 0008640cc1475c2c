/** What adapters do with all keys of a namespace: a group after the other, so that neither side holds them all. */
import { CacheError, type Namespace } from "../client/client";

const GROUP_KEYS = 1000;

/** The keys that are wanted, in groups of up to 1000. One that is written meanwhile may come twice, or not at all. */
export async function* keyGroups(
  entries: Namespace,
  isWanted: (key: string) => boolean = () => true,
): AsyncGenerator<string[], void, undefined> {
  let group: string[] = [];
  for await (const key of entries.scan()) {
    if (!isWanted(key) || group.push(key) < GROUP_KEYS) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

/** Removes the entries whose keys are wanted. */
export async function removeWanted(entries: Namespace, isWanted?: (key: string) => boolean): Promise<void> {
  for await (const keys of keyGroups(entries, isWanted)) await entries.deleteMany(keys);
}

/** Removes all entries. A token that may not clear, as no scoped one may, has to be allowed to scan and delete. */
export async function removeAll(entries: Namespace): Promise<void> {
  try {
    await entries.clear();
  } catch (error) {
    if (!(error instanceof CacheError) || error.code !== "forbidden") throw error;
    await removeWanted(entries);
  }
}
