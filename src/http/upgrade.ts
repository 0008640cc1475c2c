/** GET /ws: the request becomes a WebSocket's session, or is told why not. */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import { SUBPROTOCOL } from "../protocol/wire";
import type { Session } from "../ws/session";
import { refusedOf } from "./answer";
import type { Answer, HttpContext } from "./context";
import { offeredSubprotocols, subprotocolFor, type Verdict } from "./guard";
import { freePlace } from "./places";
import { refuseToken } from "./refuse";
import { errorResponse } from "./respond";

const TOKEN_HELP = "Authorization: Bearer TOKEN, or subprotocol bearer.BASE64URL(TOKEN)";

export function upgrade(context: HttpContext, request: Request, _: Access, server: Server<Session>): Answer {
  const { headers } = request;
  if (headers.get("upgrade")?.toLowerCase() !== "websocket")
    return errorResponse(400, "Upgrade: this path speaks WebSocket only");
  const offered = offeredSubprotocols(headers.get("sec-websocket-protocol"));
  const verdict = context.guard.verdictOnUpgrade(headers, offered);
  return verdict instanceof Promise
    ? verdict.then((late) => accept(context, request, server, offered, late))
    : accept(context, request, server, offered, verdict);
}

function accept(
  context: HttpContext,
  request: Request,
  server: Server<Session>,
  offered: readonly string[],
  verdict: Verdict,
): Answer {
  const { tally, connectionsMax } = context;
  if (typeof verdict === "string")
    return refuseToken(context, refusedOf(request, server), verdict, TOKEN_HELP);
  const choice = subprotocolFor(offered);
  if (choice === "refuse")
    return errorResponse(400, `Sec-WebSocket-Protocol: only ${SUBPROTOCOL} is spoken here`);
  if (!freePlace(tally, connectionsMax))
    return errorResponse(503, `all ${connectionsMax} connections are in use (--max-connections)`);
  // Left to itself Bun would select the first that is offered, be it a token; an empty name selects none.
  const headers = { "Sec-WebSocket-Protocol": choice === "select" ? SUBPROTOCOL : "" };
  if (server.upgrade(request, { data: context.newSession(verdict), headers })) return undefined;
  return errorResponse(400, "Upgrade: this is not a valid WebSocket handshake");
}
