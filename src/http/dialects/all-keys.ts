/** What clients ask about all keys of theirs at once, done a page at a time, so that the worker serves its other connections in between. */
import { type Access, mayDo } from "../../commands/access";
import { ANY_VERSION } from "../../commands/commands";
import { Op } from "../../protocol/wire";
import type { HttpContext } from "../context";

/** The keys that begin with a prefix, page by page. A key that moves meanwhile may be met twice. */
export async function* keyPages(
  { commands, turns }: HttpContext,
  access: Access,
  prefix: Buffer,
): AsyncGenerator<Buffer[]> {
  for (let cursor = 0n; ;) {
    commands.refreshClock();
    const page = commands.scan(access, prefix, cursor);
    yield page.keys;
    if (page.cursor === 0n) return;
    cursor = page.cursor;
    await new Promise<void>((resolve) => turns.wait(resolve));
  }
}

/** Removes them. A token that may not CLEAR, as no scoped one may, has to be allowed to SCAN and DELETE. */
export async function clearKeys(context: HttpContext, access: Access, prefix: Buffer): Promise<void> {
  const { commands, turns } = context;
  if (!mayDo(access, Op.CLEAR)) return deleteKeys(context, access, prefix);
  const clearing = commands.clear(access, prefix);
  for (;;) {
    commands.refreshClock();
    if (clearing.step(commands.now)) return;
    await new Promise<void>((resolve) => turns.wait(resolve));
  }
}

async function deleteKeys(context: HttpContext, access: Access, prefix: Buffer): Promise<void> {
  const { commands } = context;
  for await (const keys of keyPages(context, access, prefix))
    for (const key of keys) commands.delete(access, commands.keyOfBytes(key), ANY_VERSION);
}
