/**
 * Where the keys of a dialect lie: each in a room of its own, so that different clients never meet under one key, and so that a
 * scoped token can be held to one dialect, or to a part of it.
 *
 * Clients that cannot name a prefix themselves get that of their token: with a token for `nx:web:`, Nx's hash 123 is the key
 * `nx:web:123`, and every such token is a cache of its own. With any other token, it is `nx:123`.
 */
import type { Access } from "../../commands/access";
import type { DialectName } from "./names";

/** What the keys of this dialect begin with. Whether the token may name them is decided with each key, as everywhere. */
export function rootOf({ prefix }: Access, dialect: DialectName): string {
  const room = `${dialect}:`;
  const own = prefix?.toString("utf8");
  return own?.startsWith(room) ? own : room;
}
