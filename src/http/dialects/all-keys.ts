/**
 * What clients ask about all keys of theirs at once, a page at a time. Each yield is a place where the worker should serve its other
 * connections before it goes on (commands/calls.ts: drive).
 */
import { type Access, forbidden, mayDo } from "../../commands/access";
import { step } from "../../commands/calls";
import { ANY_VERSION, type Commands } from "../../commands/commands";
import { Op } from "../../protocol/wire";

/** Tells the keys that begin with a prefix, page by page. A key that moves meanwhile may be met twice. */
export function* keyPages(
  commands: Commands,
  access: Access,
  prefix: Buffer,
  onPage: (keys: Buffer[]) => void,
): Generator<void, void> {
  let cursor = 0n;
  do {
    commands.refreshClock();
    const page = yield* step(commands, () => commands.scan(access, prefix, cursor));
    onPage(page.keys);
    yield;
    cursor = page.cursor;
  } while (cursor !== 0n);
}

/** Removes them. A token that may not CLEAR, as no scoped one may, has to be allowed to SCAN and DELETE. */
export function* clearKeys(commands: Commands, access: Access, prefix: Buffer): Generator<void, void> {
  if (!mayDo(access, Op.CLEAR)) {
    if (!mayDo(access, Op.DELETE)) throw forbidden(access);
    return yield* deleteKeys(commands, access, prefix);
  }
  const clearing = commands.clear(access, prefix);
  commands.refreshClock();
  while (!(yield* step(commands, () => clearing.step(commands.now)))) {
    yield;
    commands.refreshClock();
  }
}

function* deleteKeys(commands: Commands, access: Access, prefix: Buffer): Generator<void, void> {
  let page: Buffer[] = [];
  const take = (keys: Buffer[]) => (page = keys);
  for (const _ of keyPages(commands, access, prefix, take)) {
    for (const key of page)
      yield* step(commands, () => commands.delete(access, commands.keyOfBytes(key), ANY_VERSION));
    page = [];
    yield;
  }
}
