/** A client on a clock and sockets that the test holds; what always holds of it is checked whenever it settles down. */
import { Cache } from "../../src/client/cache";
import { Connection } from "../../src/client/connection";
import type { ConnectionEvents } from "../../src/client/events";
import { type ConnectOptions, settle } from "../../src/client/options";
import { FakeClock, type FakeSocket, FakeSockets, turn } from "./fake-runtime";
import { invariants } from "./invariants";
import { type WholeRequest, wholeRequestsIn } from "./wire-replies";

export const URL = "ws://cache.example/ws";

/** A client that is connected over sockets and time of the test's own, and everything that it does to the world. */
export async function connected(options: ConnectOptions = {}, clock = new FakeClock()) {
  const client = made(options, clock);
  const { connection, events, sockets } = client;
  const connecting = connection.connect();
  sockets.last.open();
  await connecting;
  invariants(connection);
  events.length = 0;
  return client;
}

/** The same as `open` makes it: its first socket is not open yet. */
export function opened(options: ConnectOptions = {}, clock = new FakeClock()) {
  const client = made(options, clock);
  client.connection.open();
  invariants(client.connection);
  return client;
}

function made(options: ConnectOptions, clock: FakeClock) {
  const sockets = new FakeSockets();
  const settled = settle(URL, { WebSocket: sockets.WebSocket, ...options });
  const connection = new Connection(settled, clock, () => 1);
  const cache = new Cache(connection, settled.near, settled.ttlMs);
  const events: [string, object][] = [];
  for (const name of ["open", "close", "reconnecting", "uncached"] as const)
    connection.events.on(name, (event: ConnectionEvents[typeof name]) => events.push([name, event]));
  /** What goes on until nothing more does, then what always holds. */
  const settleDown = async () => {
    await turn();
    invariants(connection);
  };
  const pass = async (ms: number) => {
    await clock.advance(ms);
    await settleDown();
  };
  const seen = new Map<FakeSocket, number>();
  /** What the server has been asked on this connection since the last call. */
  const asked = async (): Promise<WholeRequest[]> => {
    await settleDown();
    const { last } = sockets;
    const from = seen.get(last) ?? 0;
    seen.set(last, last.sent.length);
    return last.sent.slice(from).flatMap(wholeRequestsIn);
  };
  /** The server sends these as one message each. */
  const receive = async (...messages: Buffer[]) => {
    for (const message of messages) sockets.last.receive(message);
    await settleDown();
  };
  /** The connection breaks, and is made again. */
  const reconnect = async () => {
    sockets.last.end();
    const [, { delayMs }] = events.findLast(([name]) => name === "reconnecting") as [
      string,
      { delayMs: number },
    ];
    await pass(delayMs);
    sockets.last.open();
    await settleDown();
  };
  return { cache, connection, clock, sockets, events, settleDown, pass, asked, receive, reconnect };
}
