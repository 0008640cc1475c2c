/** Path and query of a request's URL, taken apart by hand: `new URL` costs more than a look-up in the store. */
import { RequestError } from "../protocol/errors";

/** No path or query begins before. */
export const SCHEME_END = "https://".length;

/** Percent-decoded rest of the path after a prefix such as "/kv/". */
export function pathRest(url: string, prefix: string): string {
  const start = url.indexOf("/", SCHEME_END) + prefix.length;
  const query = url.indexOf("?", start);
  return decode(query < 0 ? url.slice(start) : url.slice(start, query), "key");
}

/** Path without query, still encoded. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", SCHEME_END);
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}

/** First value of a query field, decoded as a form is (`+` is a space); undefined when it is absent. */
export function queryField(url: string, name: string): string | undefined {
  let at = url.indexOf("?", SCHEME_END);
  while (at >= 0) {
    const next = url.indexOf("&", at + 1);
    const pair = next < 0 ? url.slice(at + 1) : url.slice(at + 1, next);
    const equals = pair.indexOf("=");
    const field = equals < 0 ? pair : pair.slice(0, equals);
    if (field === name) return decode(equals < 0 ? "" : pair.slice(equals + 1).replaceAll("+", " "), name);
    at = next;
  }
  return undefined;
}

function decode(text: string, field: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError("MALFORMED", `${field}: is not valid percent-encoded UTF-8`);
  }
}

/** The ttl of a query, in ms; Infinity when it is absent. */
export function queryTtl(url: string): number {
  const text = queryField(url, "ttl");
  if (text === undefined) return Infinity;
  const ttl = /^[0-9]{1,16}$/.test(text) ? Number(text) : 0;
  if (ttl < 1 || !Number.isSafeInteger(ttl))
    throw new RequestError("MALFORMED", "ttl: must be a positive whole number of milliseconds");
  return ttl;
}
