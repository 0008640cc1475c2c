/** POST /batch: an array of JSON requests, answered by an array of answers in the same order. */
import type { Commands } from "../commands/commands";
import { JsonCommands } from "../commands/json";
import { JsonBatch } from "../commands/json-batch";
import { RequestError } from "../protocol/errors";
import { parseJson } from "../protocol/json";
import { json, type Reply } from "./message/reply";
import type { HttpRequest } from "./request";

export function handleBatch(
  commands: Commands,
  request: HttpRequest,
  onFault: (error: unknown) => void,
): Promise<Reply> {
  const requests = parseJson(request.bodyBytes(), "the body", commands.limits);
  if (!Array.isArray(requests)) throw new RequestError("MALFORMED", "body: must be a JSON array of requests");
  const batch = new JsonBatch(new JsonCommands(commands, request.access, onFault), commands.limits, requests);
  return inTurns(commands, batch);
}

/** Others have their turn between its slices. */
async function inTurns(commands: Commands, batch: JsonBatch): Promise<Reply> {
  for (;;) {
    commands.refreshClock();
    if (batch.step()) return json(batch.text());
    await new Promise((resolve) => setImmediate(resolve));
  }
}
