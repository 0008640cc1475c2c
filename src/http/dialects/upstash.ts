/**
 * Upstash's REST API for Redis, under /upstash: a command as a JSON array or as a path, and several of them as a pipeline or a
 * transaction. A transaction is checked as a whole before any of it is executed; then its commands run in order, each whole, but
 * other clients' commands may run between them.
 */
import type { Server } from "bun";
import type { Access } from "../../commands/access";
import { RequestError } from "../../protocol/errors";
import { parseJson } from "../../protocol/json";
import type { Session } from "../../ws/session";
import type { Route, Routes } from "../answer";
import { answerAll, answerOne, batchOf } from "../batch";
import { asBuffer, withBody } from "../body";
import type { Handler, HttpContext } from "../context";
import { looseQuery, pathOf } from "../query";
import { type ErrorForm, headersWith, NO_PATH, ofText } from "../respond";
import { Redis } from "./redis";
import { argumentsFrom } from "./redis-args";
import { isExecutable, redisError, RedisExecutor, SingleCommand } from "./redis-executor";

const MOUNT = "/upstash";
const EXECABORT = "EXECABORT Transaction discarded because of previous errors.";
const NO_COMMANDS = "body: must be an array of commands, which are arrays";
const DONE = { headers: headersWith({ "Content-Type": "application/json" }) };
const FAILED = { status: 400, headers: headersWith({ "Content-Type": "application/json" }) };

const ERRORS: ErrorForm = {
  contentType: "application/json",
  body: (status, message) => JSON.stringify({ error: redisError(status, message) }),
};

const route = (handle: Handler): Route => ({
  right: "token",
  handle,
  errors: ERRORS,
  tokenOf: ({ url }) => looseQuery(url).get("_token"),
});
const COMMAND = route(handleCommand);
const PATH = route(handlePath);

export const upstash: Routes = {
  [MOUNT]: { POST: COMMAND },
  [`${MOUNT}/`]: { POST: COMMAND },
  [`${MOUNT}/pipeline`]: { POST: route(several(false)) },
  [`${MOUNT}/multi-exec`]: { POST: route(several(true)) },
  [`${MOUNT}/*`]: { GET: PATH, POST: PATH, PUT: PATH },
};

/** `["SET","k","v"]` */
function handleCommand(
  context: HttpContext,
  request: Request,
  access: Access,
  server: Server<Session>,
): Promise<Response> {
  const executor = executorFor(context, request, access);
  return withJson(context, request, (command, bytes) =>
    answerCommand(context, executor, new SingleCommand(command, bytes), server),
  );
}

/** /set/k/v, with the body as one more argument, and the query's fields and their values behind it. */
function handlePath(
  context: HttpContext,
  request: Request,
  access: Access,
  server: Server<Session>,
): Promise<Response> {
  const { url } = request;
  const executor = executorFor(context, request, access);
  const path = pathArguments(url);
  const query = [...looseQuery(url)].filter(([name]) => name !== "_token");
  const options = query.flatMap(([name, value]) => (value === "" ? [name] : [name, value]));
  return withBody(context, request, context.messageBody, (body) => {
    const value = body.length === 0 ? [] : [asBuffer(body)];
    const args = argumentsFrom([...path, ...value, ...options]);
    return answerCommand(context, executor, new SingleCommand(args, url.length + body.length), server);
  });
}

function pathArguments(url: string): string[] {
  const path = pathOf(url);
  if (!path.startsWith(`${MOUNT}/`)) throw new RequestError("MALFORMED", NO_PATH, 404);
  const parts = path.slice(MOUNT.length + 1).split("/");
  try {
    return parts.map((part) => decodeURIComponent(part));
  } catch {
    throw new RequestError("MALFORMED", "path: is not valid percent-encoded UTF-8");
  }
}

/** An array of commands. A transaction is executed only if each of its commands can be. */
function several(isTransaction: boolean): Handler {
  return (context, request, access) =>
    withJson(context, request, async (commands, bytes) => {
      if (!Array.isArray(commands) || commands.length === 0) throw new RequestError("MALFORMED", NO_COMMANDS);
      const batch = batchOf(context, executorFor(context, request, access), commands, bytes);
      if (!isTransaction || commands.every(isExecutable))
        return synced(await answerAll(context, request, batch));
      batch.close();
      return synced(ofText(JSON.stringify({ error: EXECABORT }), FAILED));
    });
}

async function answerCommand(
  context: HttpContext,
  executor: RedisExecutor,
  command: SingleCommand,
  server: Server<Session>,
): Promise<Response> {
  const { commands, unsent } = context;
  // A value that a command takes has to be given to its client, and so there must be room for it before.
  if (executor.canBeLarge(command)) unsent.check(commands.limits.valueBytesMax, server);
  const text = await answerOne(context, batchOf(context, executor, command, command.bytes));
  unsent.note(text.length);
  return synced(ofText(text, executor.failed ? FAILED : DONE));
}

function withJson(
  context: HttpContext,
  request: Request,
  use: (message: unknown, bytes: number) => Promise<Response>,
): Promise<Response> {
  return withBody(context, request, context.messageBody, (body) =>
    use(parseJson(body, "the body", context.commands.limits), body.length),
  );
}

/**
 * Its client sends back the last token that it got, so that a replica waits for what it has written. Here every worker sees every
 * write at once, and the token only has to be another one each time.
 */
function synced(response: Response): Response {
  response.headers.set("Upstash-Sync-Token", crypto.randomUUID());
  return response;
}

function executorFor({ commands, quota, onFault }: HttpContext, request: Request, access: Access) {
  const isEncoded = request.headers.get("upstash-encoding")?.toLowerCase() === "base64";
  return new RedisExecutor(new Redis(commands, access, quota), isEncoded, onFault);
}
