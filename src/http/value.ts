/** Values as answers: read into the scratch, and sent from there within the bounds of what may be unsent. */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import type { HashedKey } from "../commands/commands";
import type { Session } from "../ws/session";
import type { HttpContext } from "./context";
import { SCRATCH_AT, scratchValue } from "./scratch";

/** Reads the value of a key whose bytes, if they are in the scratch, end before `at`. False on a miss. */
export function readValue(
  { commands }: HttpContext,
  access: Access,
  key: HashedKey,
  at = SCRATCH_AT,
): boolean {
  scratchValue.at = at;
  commands.refreshClock();
  return commands.get(access, key, scratchValue);
}

/** The value that was read, as an answer. Throws BUSY where too much is unsent already. */
export function valueResponse(context: HttpContext, server: Server<Session>, init: ResponseInit): Response {
  const bytes = scratchValue.end - scratchValue.start;
  context.unsent.admit(bytes, server);
  context.garbage.note(bytes);
  return new Response(body(), init);
}

/** Plain values as text: Bun sends that for less than it copies bytes. */
function body(): string | Uint8Array<ArrayBuffer> {
  const value = scratchValue.taken() as Buffer<ArrayBuffer>;
  return scratchValue.isPlain() ? value.toString("latin1") : value;
}
