/**
 * GET /events?prefix=P: the changes under a prefix as server-sent events (HTML standard, 9.2), for pages and scripts that speak no frames.
 *
 *   event: ready      the watch is in force
 *   event: changed    {"key":"a","version":42}; version 0: drop what you hold
 *   event: reset      {"prefix":""}: drop everything under it
 *   :                 a comment now and then, so that nobody takes the silence for an end
 */
import type { Access } from "../commands/access";
import type { HttpContext } from "./context";
import { freePlace } from "./places";
import { queryFields } from "./query";
import { errorResponse, headersWith } from "./respond";

const HEADERS = headersWith({
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store",
  // For nginx, which would gather the events otherwise.
  "X-Accel-Buffering": "no",
});

export function handleEvents(context: HttpContext, request: Request, access: Access): Response {
  const { tally, connectionsMax, eventStreams } = context;
  const { prefix = "" } = queryFields(request.url, ["prefix"]);
  if (!freePlace(tally, connectionsMax))
    return errorResponse(503, `all ${connectionsMax} connections are in use (--max-connections)`);
  return new Response(eventStreams.open(access, Buffer.from(prefix, "utf8")), { headers: HEADERS });
}
