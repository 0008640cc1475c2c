/** Lines to try, with the address of this server and what the token allows. They run as they are pasted. */
import type { Rights } from "./rights";

export interface Snippet {
  readonly title: string;
  readonly about: string;
  readonly text: string;
}

export interface Place {
  /** Such as http://localhost:7171. */
  readonly origin: string;
  /** Read from BREADBOX_TOKEN, so that it is in no line. */
  readonly hasToken: boolean;
  readonly rights: Rights;
}

const VALUE = "hello from the page";
/** Of what the lines put. */
const TTL = "60s";
const TTL_MS = 60_000;

export function snippets(place: Place): Snippet[] {
  return [
    { title: "curl", about: "In a shell.", text: curl(place) },
    { title: "JavaScript", about: "In Bun, Deno or Node, with nothing installed.", text: fetches(place) },
    {
      title: "JavaScript client",
      about: "In a project that has the package: one WebSocket, pipelined.",
      text: client(place),
    },
    {
      title: "Command line",
      about: "With the breadbox command, which the package installs.",
      text: cli(place),
    },
  ];
}

function keyOf({ rights }: Place): string {
  return `${rights.prefix}hello`;
}

function curl(place: Place): string {
  const { origin, hasToken, rights } = place;
  const url = `${origin}/kv/${encodeURIComponent(keyOf(place))}`;
  const token = hasToken ? ' -H "Authorization: Bearer $BREADBOX_TOKEN"' : "";
  return lines(
    rights.may("put") && `curl${token} -X PUT --data-binary ${shell(VALUE)} ${shell(`${url}?ttl=${TTL}`)}`,
    rights.may("get") && `curl${token} ${shell(url)}`,
    rights.may("stats") && `curl${token} ${shell(`${origin}/stats`)}`,
  );
}

function fetches(place: Place): string {
  const { origin, hasToken, rights } = place;
  const url = JSON.stringify(`${origin}/kv/${encodeURIComponent(keyOf(place))}`);
  const headers = hasToken ? "headers" : "";
  const options = headers === "" ? "" : `, { ${headers} }`;
  return lines(
    hasToken && "const headers = { Authorization: `Bearer ${process.env.BREADBOX_TOKEN}` };",
    `const url = ${url};`,
    rights.may("put") &&
      `await fetch(url + "?ttl=${TTL}", { method: "PUT", body: ${JSON.stringify(VALUE)}${headers && `, ${headers}`} });`,
    rights.may("get") && `console.log(await (await fetch(url${options})).text());`,
  );
}

function client(place: Place): string {
  const { origin, hasToken, rights } = place;
  const key = JSON.stringify(keyOf(place));
  const options = hasToken ? ", { token: process.env.BREADBOX_TOKEN }" : "";
  return lines(
    'import { connect } from "@breadbox/server/client";',
    "",
    `const cache = await connect(${JSON.stringify(origin.replace("http", "ws"))}${options});`,
    rights.may("put") && `await cache.put(${key}, ${JSON.stringify(VALUE)}, { ttlMs: ${TTL_MS} });`,
    rights.may("get") && `console.log(await cache.get(${key}));`,
    "await cache.close();",
  );
}

/** The command reads BREADBOX_TOKEN by itself. */
function cli(place: Place): string {
  const { origin, rights } = place;
  const key = shell(keyOf(place));
  return lines(
    `export BREADBOX_URL=${shell(origin)}`,
    rights.may("put") && `breadbox put ${key} ${shell(VALUE)} --ttl ${TTL}`,
    rights.may("get") && `breadbox get ${key}`,
    rights.may("scan") && `breadbox scan ${shell(rights.prefix)}`,
  );
}

/** Those that there are; an empty one separates. */
function lines(...all: readonly (string | false)[]): string {
  return all.filter((line) => line !== false).join("\n");
}

/** One word of a shell. */
function shell(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
