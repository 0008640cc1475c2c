/**
 * Nx's remote cache (NX_SELF_HOSTED_REMOTE_CACHE_SERVER, and the OpenAPI description in its documentation). A hash is written
 * once: whoever may write cannot replace what others have been served, which is what Nx asks of a cache.
 */
import type { Server } from "bun";
import type { Access } from "../../commands/access";
import { Condition, type HashedKey, Outcome } from "../../commands/commands";
import { RequestError } from "../../protocol/errors";
import { Op } from "../../protocol/wire";
import type { Session } from "../../ws/session";
import type { Route, Routes } from "../answer";
import { BYTES_TYPE, typeFor } from "../content-type";
import type { Handler, HttpContext } from "../context";
import { pathRest } from "../query";
import { type ErrorForm, errorResponse, headersWith } from "../respond";
import { readValue, valueResponse, withValue } from "../value";
import { rootOf } from "./keys";

const PREFIX = "/v1/cache/";
const HASH = /^[A-Za-z0-9_-]+$/;
const FOUND = { headers: headersWith({ "Content-Type": BYTES_TYPE }) };
/** Any other 2xx is an error for its client. */
const STORED = { status: 200, headers: headersWith({}) };

/** It shows the text of a 401 if it is text/plain, without any parameter. */
const ERRORS: ErrorForm = { contentType: "text/plain", body: (_, message) => message };

const route = (right: Op, handle: Handler): Route => ({ right, handle, errors: ERRORS });

export const nx: Routes = {
  [`${PREFIX}*`]: { GET: route(Op.GET, handleGet), PUT: route(Op.PUT, handlePut) },
};

function handleGet(
  context: HttpContext,
  { url }: Request,
  access: Access,
  server: Server<Session>,
): Response {
  if (!readValue(context, access, keyOf(context, url, access)))
    return errorResponse(404, "The record was not found", ERRORS);
  return valueResponse(context, server, FOUND);
}

function handlePut(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { commands } = context;
  const key = keyOf(context, request.url, access);
  commands.check(access, Op.PUT, key);
  return withValue(context, request, (write) => {
    write.condition = Condition.IF_ABSENT;
    write.type = typeFor(BYTES_TYPE);
    const outcome = commands.put(access, key, write);
    return outcome === Outcome.DONE
      ? new Response(null, STORED)
      : errorResponse(409, "Cannot override an existing record", ERRORS);
  });
}

function keyOf({ commands }: HttpContext, url: string, access: Access): HashedKey {
  const hash = pathRest(url, PREFIX);
  if (!HASH.test(hash))
    throw new RequestError("BAD_KEY", "hash: must be letters, digits, hyphens and underscores");
  return commands.keyOf(rootOf(access, "nx") + hash);
}
