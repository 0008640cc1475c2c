/**
 * The value of --origin: where the store of record is, and how to sign in.
 *
 *   redis[s]://[[user]:password@]host[:port][,host[:port]]…
 *
 * Several nodes of one cluster may be named, so that one that is down does no harm; the others are found through them. No message repeats the
 * address, because it may hold a password.
 */

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Address {
  readonly seeds: readonly Endpoint[];
  /** Null for the user `default`. */
  readonly username: string | null;
  readonly password: string | null;
  readonly isTls: boolean;
}

/** What is wrong with an address, and what to do. */
export class AddressError extends Error {
  override name = "AddressError";
}

export const PORT_DEFAULT = 6379;
const PORT_MAX = 65_535;
export const SEEDS_MAX = 64;

const SCHEMES: Record<string, boolean> = {
  "redis:": false,
  "rediss:": true,
  "valkey:": false,
  "valkeys:": true,
};

/** `host:port`, with brackets around an IPv6 address. */
export function endpointText({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Throws AddressError. */
export function parseAddress(text: string): Address {
  const scheme = /^([a-z]+:)\/\//i.exec(text)?.[1]?.toLowerCase();
  const isTls = SCHEMES[scheme ?? ""];
  if (scheme === undefined || isTls === undefined)
    throw new AddressError("must begin with redis:// or, for TLS, rediss://");
  const rest = text.slice(scheme.length + 2);
  if (/\s/.test(rest)) throw new AddressError("must have no spaces; write %20 for one in a password");
  const at = rest.lastIndexOf("@");
  const { hosts, path } = splitPath(rest.slice(at + 1));
  if (/[?#]/.test(path)) throw new AddressError("takes no options behind ? or #");
  if (!/^\/?0?$/.test(path))
    throw new AddressError("a cluster has database 0 alone; leave out what follows the /");
  const seeds = hosts.split(",").map(parseEndpoint);
  if (seeds.length > SEEDS_MAX)
    throw new AddressError(`at most ${SEEDS_MAX} nodes can be named; a few are enough`);
  return { seeds, ...parseUser(at < 0 ? null : rest.slice(0, at)), isTls };
}

function splitPath(text: string): { hosts: string; path: string } {
  const end = text.search(/[/?#]/);
  return end < 0 ? { hosts: text, path: "" } : { hosts: text.slice(0, end), path: text.slice(end) };
}

function parseUser(text: string | null): Pick<Address, "username" | "password"> {
  if (text === null || text === "") return { username: null, password: null };
  if (/[/?#@]/.test(text))
    throw new AddressError("percent-encode / ? # and @ in a user's name or password (%2F %3F %23 %40)");
  const colon = text.indexOf(":");
  if (colon < 0)
    throw new AddressError("before the @ stands user:password, or :password for the user `default`");
  const username = decoded(text.slice(0, colon));
  const password = decoded(text.slice(colon + 1));
  if (password === "")
    throw new AddressError("the password is empty; leave out everything up to the @ to sign in without one");
  return { username: username === "" ? null : username, password };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AddressError(
      "a % in a user's name or password must be followed by two hex digits; write %25 for a percent sign",
    );
  }
}

function parseEndpoint(text: string): Endpoint {
  if (text === "") throw new AddressError("needs a host; host:port, with commas between several");
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9a-z._-]+))(?::([0-9]+))?$/i.exec(text);
  if (match === null)
    throw new AddressError(
      "every node is host:port, with an IPv6 address in brackets and commas between several",
    );
  const port = match[3] === undefined ? PORT_DEFAULT : Number(match[3]);
  if (port < 1 || port > PORT_MAX) throw new AddressError(`a port is a number from 1 to ${PORT_MAX}`);
  return { host: (match[1] ?? match[2])!.toLowerCase(), port };
}

/** What keys begin with in the engine (--origin-namespace): no braces, which would choose the slot, and no glob characters. */
export function isNamespace(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(text);
}
