/**
 * The storage server of unstorage, for its http driver, under /unstorage. A slash in the path is a colon in the key; a path that
 * ends with a colon or a slash names all keys below it. The key `a:b` is `unstorage:a:b` in the store.
 */
import type { Server } from "bun";
import type { Access } from "../../commands/access";
import { drive } from "../../commands/calls";
import type { Commands, HashedKey } from "../../commands/commands";
import { ANY_VERSION } from "../../commands/commands";
import { RequestError } from "../../protocol/errors";
import { Op } from "../../protocol/wire";
import type { Session } from "../../ws/session";
import type { Route, Routes } from "../answer";
import { BYTES_TYPE, contentTypeOf, typeOf } from "../content-type";
import type { Answer, Handler, HttpContext } from "../context";
import { pathRest } from "../query";
import { type ErrorForm, errorResponse, headersWith, json, ofText } from "../respond";
import { scratchValue } from "../scratch";
import { readValue, valueResponse, withValue } from "../value";
import { clearKeys, keyPages } from "./all-keys";
import { rootOf } from "./keys";

const MOUNT = "/unstorage";
const PREFIX = `${MOUNT}/`;
const TEXT_TYPE = "text/plain;charset=UTF-8";
const FOUND = { headers: headersWith({}) };
const DONE = { headers: headersWith({ "Content-Type": TEXT_TYPE }) };

const ERRORS: ErrorForm = {
  contentType: "application/json",
  body: (status, message) => JSON.stringify({ status, statusText: message, message }),
};

const route = (right: Route["right"], handle: Handler): Route => ({ right, handle, errors: ERRORS });

/** What a path names: one key, or all keys that begin so. */
interface Place {
  readonly key: string;
  readonly isBase: boolean;
}

export const unstorage: Routes = {
  [MOUNT]: {
    GET: route(Op.SCAN, (context, _, access, server) => listKeys(context, access, "", server)),
    DELETE: route("token", (context, _, access) => clear(context, access, "")),
  },
  [`${PREFIX}*`]: {
    GET: route("token", handleGet),
    PUT: route(Op.PUT, handlePut),
    DELETE: route("token", handleDelete),
  },
};

function handleGet(context: HttpContext, request: Request, access: Access, server: Server<Session>): Answer {
  const { key, isBase } = placeOf(request.url);
  if (isBase) return listKeys(context, access, key, server);
  const { commands } = context;
  if (!readValue(context, access, keyOf(commands, access, key)))
    return errorResponse(404, "KV value not found", ERRORS);
  const ttlMs = commands.ttlOf(scratchValue.expiresAt);
  const type = contentTypeOf(scratchValue.type);
  const response = valueResponse(context, server, FOUND);
  response.headers.set("Content-Type", typeFor(type, request.headers.get("accept")));
  if (ttlMs !== Infinity) response.headers.set("X-TTL", String(Math.ceil(ttlMs / 1000)));
  return response;
}

/** Its driver makes a Blob of anything that says to be bytes, unless it has asked for them. */
function typeFor(stored: string | null, accept: string | null): string {
  if (accept === BYTES_TYPE) return BYTES_TYPE;
  return stored === null || stored === BYTES_TYPE ? TEXT_TYPE : stored;
}

function handlePut(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { commands } = context;
  const { key: name, isBase } = placeOf(request.url);
  if (isBase) throw new RequestError("BAD_KEY", "key: names all keys below it; only one can be set");
  const key = keyOf(commands, access, name);
  commands.check(access, Op.PUT, key);
  const ttlMs = ttlOf(request.headers.get("x-ttl"));
  const type = typeOf(request.headers);
  return withValue(context, request, (write) => {
    write.type = type;
    commands.put(access, key, write, ttlMs);
    return ofText("OK", DONE);
  });
}

function handleDelete(context: HttpContext, { url }: Request, access: Access): Answer {
  const { key, isBase } = placeOf(url);
  if (isBase) return clear(context, access, key);
  const { commands } = context;
  commands.refreshClock();
  commands.delete(access, keyOf(commands, access, key), ANY_VERSION);
  return ofText("OK", DONE);
}

/** All keys below a base, as an array. A key that moves while they are listed may be met twice. */
async function listKeys(
  context: HttpContext,
  access: Access,
  base: string,
  server: Server<Session>,
): Promise<Response> {
  const { commands, quota, turns, unsent } = context;
  const root = rootOf(access, "unstorage");
  const prefix = Buffer.from(root + base, "utf8");
  const keys = new Set<string>();
  let held = 0;
  try {
    const take = (page: Buffer[]) => {
      const bytes = page.reduce((sum, key) => sum + key.length, 0);
      quota.take(bytes);
      held += bytes;
      for (const key of page) keys.add(key.toString("utf8").slice(root.length));
    };
    await drive(commands, turns, keyPages(commands, access, prefix, take));
    const text = JSON.stringify([...keys]);
    unsent.admit(text.length, server);
    return json(text);
  } finally {
    quota.release(held);
  }
}

async function clear({ commands, turns }: HttpContext, access: Access, base: string): Promise<Response> {
  const prefix = Buffer.from(rootOf(access, "unstorage") + base, "utf8");
  await drive(commands, turns, clearKeys(commands, access, prefix));
  return ofText("OK", DONE);
}

function placeOf(url: string): Place {
  const path = pathRest(url, PREFIX);
  const parts = path.split(/[:/\\]/).filter((part) => part !== "");
  const isBase = path === "" || /[:/]$/.test(path);
  return { key: isBase ? parts.map((part) => `${part}:`).join("") : parts.join(":"), isBase };
}

function keyOf(commands: Commands, access: Access, key: string): HashedKey {
  return commands.keyOf(rootOf(access, "unstorage") + key);
}

/** x-ttl in seconds; Infinity where it is absent or 0, which its driver's users write for "for ever". */
function ttlOf(text: string | null): number {
  const seconds = text === null || text === "" ? 0 : Number(text);
  if (seconds === 0) return Infinity;
  const ttlMs = Math.ceil(seconds * 1000);
  if (!(ttlMs > 0) || !Number.isSafeInteger(ttlMs))
    throw new RequestError("MALFORMED", "x-ttl: must be a positive number of seconds");
  return ttlMs;
}
