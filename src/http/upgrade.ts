/** GET /ws: the opening handshake of a WebSocket (RFC 6455, 4.2). */
import { createHash } from "node:crypto";
import { Count } from "../commands/tally";
import type { Connection } from "../net/connection";
import { SUBPROTOCOL } from "../protocol/wire";
import { offeredSubprotocols, subprotocolFor, type Verdict } from "./guard";
import { Header } from "./message/header-names";
import { Method } from "./message/head";
import { refuseToken } from "./refuse";
import { errorReply, NO_BODY, type Reply } from "./message/reply";
import type { HttpRequest } from "./request";
import type { Answer, HttpContext } from "./context";

const TOKEN_HELP = "Authorization: Bearer TOKEN, or subprotocol bearer.BASE64URL(TOKEN)";
const VERSION = "13";
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
/** RFC 6455, 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export function upgrade(context: HttpContext, request: HttpRequest, connection: Connection): Answer {
  if (!request.words(Header.UPGRADE).includes("websocket") || request.method !== Method.GET)
    return errorReply(400, "Upgrade: this path speaks WebSocket only");
  const problem = problemOf(request);
  if (problem !== null) return problem;
  const key = request.text(Header.SEC_WEBSOCKET_KEY)!;
  const offered = offeredSubprotocols(request.text(Header.SEC_WEBSOCKET_PROTOCOL));
  const verdict = context.guard.verdictOnUpgrade(request.text(Header.AUTHORIZATION), offered);
  const go = (verdict: Verdict) => accept(context, connection, key, offered, verdict);
  return verdict instanceof Promise ? verdict.then(go) : go(verdict);
}

/** What is wrong with the handshake, whoever asks. */
function problemOf(request: HttpRequest): Reply | null {
  if (request.minorVersion === 0 || !request.words(Header.CONNECTION).includes("upgrade"))
    return errorReply(400, "Connection: this is not a valid WebSocket handshake");
  if (request.text(Header.SEC_WEBSOCKET_VERSION) !== VERSION)
    return errorReply(
      426,
      "Sec-WebSocket-Version: must be 13",
      `Upgrade: websocket\r\nSec-WebSocket-Version: ${VERSION}\r\n`,
    );
  if (!KEY.test(request.text(Header.SEC_WEBSOCKET_KEY) ?? ""))
    return errorReply(400, "Sec-WebSocket-Key: must be 16 bytes in base64");
  if (request.has(Header.TRANSFER_ENCODING) || (request.text(Header.CONTENT_LENGTH) ?? "0") !== "0")
    return errorReply(400, "Content-Length: a WebSocket handshake has no body");
  return null;
}

function accept(
  context: HttpContext,
  connection: Connection,
  key: string,
  offered: readonly string[],
  verdict: Verdict,
): Reply | Promise<Reply> {
  const { tally, connectionsMax } = context;
  if (typeof verdict === "string") return refuseToken(context, connection.remoteAddress, verdict, TOKEN_HELP);
  const choice = subprotocolFor(offered);
  if (choice === "refuse")
    return errorReply(400, `Sec-WebSocket-Protocol: only ${SUBPROTOCOL} is spoken here`);
  // Workers may accept at the same moment, so there can be one too many for each of them.
  if (tally.sum(Count.CONNECTIONS) >= connectionsMax) {
    tally.add(Count.REFUSED_CONNECTIONS, 1);
    return errorReply(503, `all ${connectionsMax} connections are in use (--max-connections)`);
  }
  return {
    status: 101,
    headers:
      `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n` +
      (choice === "select" ? `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` : ""),
    body: NO_BODY,
    session: context.newSession(verdict),
  };
}

function acceptOf(key: string): string {
  return createHash("sha1")
    .update(key + ACCEPT_SUFFIX)
    .digest("base64");
}
