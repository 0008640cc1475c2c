/**
 * Values on their way: out of the store into the scratch, and from there into an answer, within the bounds of what may be unsent; and
 * out of a body into a write.
 */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import { execute } from "../commands/calls";
import type { HashedKey, Write } from "../commands/commands";
import type { Session } from "../ws/session";
import { asBuffer, withBody } from "./body";
import type { HttpContext } from "./context";
import { ofLength } from "./respond";
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
  return ofLength(bytes, marked(new Response(body(), init)));
}

/** Reads the body, and answers with what `use` makes of it as a write of no type, for ever and on no condition. */
export function withValue(
  context: HttpContext,
  request: Request,
  use: (write: Write) => Response,
): Promise<Response> {
  const { commands, valueBody, garbage } = context;
  return withBody(context, request, valueBody, (body) => {
    garbage.note(body.length);
    return execute(commands, () => {
      commands.refreshClock();
      return use(commands.writeOf(asBuffer(body)));
    });
  });
}

/** The same response, which says so where the value that was read may be old (RFC 7234, 5.5.1). */
export function marked(response: Response): Response {
  if (scratchValue.isStale) response.headers.set("Warning", '110 - "Response is Stale"');
  return response;
}

/** Plain values as text: Bun sends that for less than it copies bytes. */
function body(): string | Uint8Array<ArrayBuffer> {
  const value = scratchValue.taken() as Buffer<ArrayBuffer>;
  return scratchValue.isPlain() ? value.toString("latin1") : value;
}
