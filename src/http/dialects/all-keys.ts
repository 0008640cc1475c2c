/**
 * What clients ask about all keys of theirs at once, a page at a time. Each yield is a place where the worker should serve its other
 * connections before it goes on.
 */
import { type Access, forbidden, mayDo } from "../../commands/access";
import { ANY_VERSION, type Commands } from "../../commands/commands";
import { Op } from "../../protocol/wire";

/** The keys that begin with a prefix, page by page. A key that moves meanwhile may be met twice. */
export function* keyPages(commands: Commands, access: Access, prefix: Buffer): Generator<Buffer[]> {
  let cursor = 0n;
  do {
    commands.refreshClock();
    const page = commands.scan(access, prefix, cursor);
    yield page.keys;
    cursor = page.cursor;
  } while (cursor !== 0n);
}

/** Removes them. A token that may not CLEAR, as no scoped one may, has to be allowed to SCAN and DELETE. */
export function* clearKeys(commands: Commands, access: Access, prefix: Buffer): Generator<void> {
  if (!mayDo(access, Op.CLEAR)) {
    if (!mayDo(access, Op.DELETE)) throw forbidden(access);
    return yield* deleteKeys(commands, access, prefix);
  }
  const clearing = commands.clear(access, prefix);
  commands.refreshClock();
  while (!clearing.step(commands.now)) {
    yield;
    commands.refreshClock();
  }
}

function* deleteKeys(commands: Commands, access: Access, prefix: Buffer): Generator<void> {
  for (const keys of keyPages(commands, access, prefix)) {
    for (const key of keys) commands.delete(access, commands.keyOfBytes(key), ANY_VERSION);
    yield;
  }
}
