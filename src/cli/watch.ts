/** The subcommand `watch`: the changes under a prefix as they happen, by the server's stream of events. */
import { CacheError, type CacheErrorCode } from "../client/client";
import { ofSystem } from "../client/cause";
import type { Trouble } from "../client/socket";
import type { Command, Terminal } from "./command";
import { Exit } from "./exit";
import { trustOf } from "./tls";
import { DEFAULT_URL, type Parsed, SERVER_OPTIONS, whole } from "./usage";

const CONNECT_TIMEOUT_MS = 5000;
const CODES: Record<number, CacheErrorCode> = {
  400: "invalid-argument",
  401: "unauthorized",
  403: "forbidden",
  413: "bad-key",
  429: "unauthorized",
  503: "busy",
};

interface ServerEvent {
  readonly name: string;
  readonly data: { key?: string; encoding?: string; version?: number; prefix?: string };
}

export const watch: Command = {
  summary: "print changes of keys that begin with a prefix, as they happen; Ctrl-C ends it",
  synopsis: "[PREFIX]",
  examples: ["breadbox watch user:", "breadbox watch --json | jq .key", "breadbox watch lock: --count 1"],
  options: {
    ...SERVER_OPTIONS,
    count: {
      value: "N",
      help: "end after so many changes",
      schema: whole(1, 1e9),
      allowed: "a whole number from 1",
    },
    json: { help: "print a line of JSON for each change" },
  },
  positionals: [0, 1],
  run: async (parsed, terminal) => {
    const { count = Infinity, json } = parsed.values;
    let seen = 0;
    for await (const event of eventsOf(parsed, terminal)) {
      if (event.name === "ready") terminal.say(`watching ${JSON.stringify(event.data.prefix)}`);
      if (event.name !== "changed" && event.name !== "reset") continue;
      await terminal.write(json ? `${jsonLine(event)}\n` : `${line(event)}\n`);
      if (++seen >= count) return Exit.OK;
    }
    if (terminal.interrupted.aborted) return Exit.OK;
    throw new CacheError("disconnected", "the server has ended the stream");
  },
};

function line({ name, data }: ServerEvent): string {
  if (name === "reset") return `reset ${JSON.stringify(data.prefix)}`;
  return `changed ${JSON.stringify(data.key)} ${data.version}`;
}

function jsonLine({ name, data }: ServerEvent): string {
  return JSON.stringify(name === "reset" ? { reset: data.prefix } : data);
}

/** The events of the stream; ends with it, or by Ctrl-C. Throws CacheError. */
async function* eventsOf(parsed: Parsed, terminal: Terminal): AsyncGenerator<ServerEvent> {
  const end = new AbortController();
  terminal.interrupted.addEventListener("abort", () => end.abort());
  try {
    const response = await connected(parsed, end);
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of response.body!) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
        if (name !== undefined) yield { name, data: JSON.parse(data!) as ServerEvent["data"] };
      }
    }
  } catch (error) {
    if (terminal.interrupted.aborted) return;
    if (error instanceof CacheError) throw error;
    throw new CacheError("disconnected", `the connection broke: ${(error as Error).message}`);
  } finally {
    end.abort();
  }
}

/** The stream's response; the deadline is for its beginning alone. */
async function connected({ values, positionals }: Parsed, end: AbortController): Promise<Response> {
  const trust = trustOf(values["tls-ca"]);
  const url = new URL("/events", (values.url ?? DEFAULT_URL).replace(/^ws/, "http"));
  if (positionals[0] !== undefined) url.searchParams.set("prefix", positionals[0]);
  const timeoutMs = values.timeout ?? CONNECT_TIMEOUT_MS;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    end.abort();
  }, timeoutMs);
  try {
    const response = await fetch(url, {
      signal: end.signal,
      headers: values.token === undefined ? {} : { Authorization: `Bearer ${values.token}` },
      ...(trust !== undefined && { tls: trust }),
    });
    if (response.status === 200) return response;
    throw new CacheError(CODES[response.status] ?? "malformed", await messageOf(response));
  } catch (error) {
    if (error instanceof CacheError) throw error;
    if (isLate) throw new CacheError("timeout", `${url.origin} does not answer within ${timeoutMs} ms`);
    const [code, text] = ofSystem(error as Trouble) ?? ["refused", (error as Error).message];
    throw new CacheError(code, `no connection to ${url.origin}: ${text}`);
  } finally {
    clearTimeout(timer);
  }
}

/** What the server says about a refusal. */
async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return (JSON.parse(text) as { message: string }).message;
  } catch {
    return `answered ${response.status}: is it a Breadbox?`;
  }
}
