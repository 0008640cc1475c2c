/** Path and query of a request, taken apart by hand: `new URL` costs more than a look-up in the store. */
import { RequestError } from "../protocol/errors";

/** Percent-decoded rest of a path after a prefix such as "/kv/". */
export function pathRest(path: string, prefix: string): string {
  return decode(path.slice(prefix.length), "key");
}

/** First value of a query field, decoded as a form is (`+` is a space); undefined when it is absent. */
export function queryField(target: string, name: string): string | undefined {
  let at = target.indexOf("?");
  while (at >= 0) {
    const next = target.indexOf("&", at + 1);
    const pair = next < 0 ? target.slice(at + 1) : target.slice(at + 1, next);
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
export function queryTtl(target: string): number {
  const text = queryField(target, "ttl");
  if (text === undefined) return Infinity;
  const ttl = /^[0-9]{1,16}$/.test(text) ? Number(text) : 0;
  if (ttl < 1 || !Number.isSafeInteger(ttl))
    throw new RequestError("MALFORMED", "ttl: must be a positive whole number of milliseconds");
  return ttl;
}
