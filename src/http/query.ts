/** Path and query of a request's URL, taken apart by hand: `new URL` costs more than a look-up in the store. */
import { RequestError } from "../protocol/errors";
import { NO_PATH } from "./respond";
import { millisecondsOf } from "../system/duration";

/** A lease's token in a query, with or without the quotes of its header. */
export const LEASE_TOKEN = /^"?([1-9][0-9]{0,15})"?$/;

const SLASH = 0x2f;
/** The path of an absolute URL begins at the earliest here: its authority has a character at least. */
const PATH_AT_MIN = "https://".length;

/** Index of the path's slash. Bun gives a URL without scheme and authority where the Host header is none. */
export function pathStart(url: string): number {
  return url.charCodeAt(0) === SLASH ? 0 : url.indexOf("/", PATH_AT_MIN);
}

/** Index of the `?`, or -1. */
export function queryStart(url: string): number {
  return url.indexOf("?");
}

/** Path without query, still encoded. */
export function pathOf(url: string): string {
  const query = queryStart(url);
  return url.slice(pathStart(url), query < 0 ? url.length : query);
}

/**
 * Percent-decoded rest of the path after a prefix such as "/kv/". MALFORMED (404) where the path does not begin so: Bun chooses the
 * route by the path as it was sent, and resolves dot segments afterwards.
 */
export function pathRest(url: string, prefix: string): string {
  const path = pathOf(url);
  if (!path.startsWith(prefix)) throw new RequestError("MALFORMED", NO_PATH, 404);
  return decode(path.slice(prefix.length), "key");
}

/** A query of somebody else's protocol, which may have more in it than is understood here. */
export function looseQuery(url: string): URLSearchParams {
  const start = queryStart(url);
  return new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
}

/**
 * The fields of a query, decoded as a form is (`+` is a space). MALFORMED for one that the endpoint does not know, one that
 * is given twice, and bad percent-encoding: what is not understood must not be taken for "nothing asked".
 * @param known names that the endpoint knows
 */
export function queryFields<Name extends string>(
  url: string,
  known: readonly Name[],
): Partial<Record<Name, string>> {
  const fields: Partial<Record<Name, string>> = {};
  const start = queryStart(url);
  if (start < 0) return fields;
  for (const pair of url.slice(start + 1).split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals), "query");
    if (!isOneOf(name, known)) throw new RequestError("MALFORMED", unknownField(name, known));
    if (fields[name] !== undefined)
      throw new RequestError("MALFORMED", `${name}: is given twice in the query`);
    fields[name] = equals < 0 ? "" : decode(pair.slice(equals + 1).replaceAll("+", " "), name);
  }
  return fields;
}

function isOneOf<Name extends string>(name: string, known: readonly Name[]): name is Name {
  return known.includes(name as Name);
}

function unknownField(name: string, known: readonly string[]): string {
  const shown = JSON.stringify(name.slice(0, 64));
  const help = known.length === 0 ? "none is understood here" : `only ${known.join(", ")} is understood here`;
  return `${shown}: unknown query parameter; ${help}`;
}

function decode(text: string, field: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError("MALFORMED", `${field}: is not valid percent-encoded UTF-8`);
  }
}

/** A time in a query, in ms: a whole number of them, or a time with a unit such as 60s; Infinity when it is absent. */
export function ttlOf(text: string | undefined, name = "ttl"): number {
  if (text === undefined) return Infinity;
  const ttl = millisecondsOf(text, "ms");
  if (!(ttl >= 1) || !Number.isSafeInteger(ttl))
    throw new RequestError(
      "MALFORMED",
      `${name}: must be a positive whole number of milliseconds, or a time such as 60s, 5m, 1h, 7d`,
    );
  return ttl;
}
