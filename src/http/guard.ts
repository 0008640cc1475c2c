/**
 * Who may come in: tokens and origins. Tokens are compared by their SHA-256 in constant time, so neither their length
 * nor their beginning can be found out by measuring; they are never part of a message or a log line.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { Access } from "../commands/access";
import { SUBPROTOCOL, SUBPROTOCOL_BEARER } from "../protocol/wire";

export interface GuardSettings {
  readonly token: string | undefined;
  readonly readToken: string | undefined;
  readonly allowOrigin: readonly string[];
}

export class Guard {
  private readonly all: Buffer | undefined;
  private readonly read: Buffer | undefined;
  private readonly origins: ReadonlySet<string>;

  constructor(settings: GuardSettings) {
    this.all = settings.token === undefined ? undefined : digest(settings.token);
    this.read = settings.readToken === undefined ? undefined : digest(settings.readToken);
    this.origins = new Set(settings.allowOrigin.map((origin) => origin.toLowerCase()));
  }

  /** What the bearer of an Authorization header may do. Looks at the headers only where there is a token to ask for. */
  accessOf(headers: Headers): Access {
    if (this.all === undefined) return Access.ALL;
    const token = /^Bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
    return token === undefined ? Access.NONE : this.accessOfToken(token);
  }

  /** The same for a WebSocket's upgrade: the header, or the `bearer.` subprotocol. */
  accessOfUpgrade(headers: Headers, offered: readonly string[]): Access {
    const access = this.accessOf(headers);
    if (access !== Access.NONE) return access;
    const bearer = offered.find((protocol) => protocol.startsWith(SUBPROTOCOL_BEARER));
    const encoded = bearer?.slice(SUBPROTOCOL_BEARER.length) ?? "";
    if (!/^[A-Za-z0-9_-]+$/.test(encoded)) return Access.NONE;
    return this.accessOfToken(Buffer.from(encoded, "base64url").toString("utf8"));
  }

  /** Whether a page of this origin may use the server: its own pages and those on the list. */
  allowsOrigin(origin: string, host: string | null): boolean {
    if (this.origins.has("*") || this.origins.has(origin.toLowerCase())) return true;
    const separator = origin.indexOf("://");
    return separator > 0 && host !== null && origin.slice(separator + 3).toLowerCase() === host.toLowerCase();
  }

  private accessOfToken(token: string): Access {
    const given = digest(token);
    // Both are compared always, so that the time says nothing about which exist.
    const isAll = this.all !== undefined && timingSafeEqual(given, this.all);
    const isRead = this.read !== undefined && timingSafeEqual(given, this.read);
    if (isAll) return Access.ALL;
    return isRead ? Access.READ : Access.NONE;
  }
}

/** Whether an upgrade that offers these subprotocols can be served: v1 by name, or none named but a bearer. */
export function subprotocolFor(offered: readonly string[]): "select" | "none" | "refuse" {
  if (offered.includes(SUBPROTOCOL)) return "select";
  return offered.every((protocol) => protocol.startsWith(SUBPROTOCOL_BEARER)) ? "none" : "refuse";
}

/** The names in a Sec-WebSocket-Protocol header. */
export function offeredSubprotocols(header: string | null): string[] {
  return (header ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}
