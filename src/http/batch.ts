/** POST /batch: an array of JSON requests, answered by an array of answers in the same order. */
import type { Access } from "../commands/access";
import type { Commands } from "../commands/commands";
import { JsonCommands } from "../commands/json";
import { JsonBatch } from "../commands/json-batch";
import { RequestError } from "../protocol/errors";
import { parseJson } from "../protocol/json";
import { readBody } from "./body";
import { json } from "./respond";

export async function handleBatch(
  commands: Commands,
  request: Request,
  access: Access,
  onFault: (error: unknown) => void,
): Promise<Response> {
  const body = await readBody(request, commands.limits.messageBytesMax, "--max-message");
  const requests = parseJson(body, "the body", commands.limits);
  if (!Array.isArray(requests)) throw new RequestError("MALFORMED", "body: must be a JSON array of requests");
  const batch = new JsonBatch(new JsonCommands(commands, access, onFault), commands.limits, requests);
  for (;;) {
    commands.refreshClock();
    if (batch.step()) return json(batch.text());
    await new Promise((resolve) => setImmediate(resolve));
  }
}
