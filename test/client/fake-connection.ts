/** A client on a clock and sockets that the test holds; what always holds of it is checked whenever it settles down. */
import { Cache } from "../../src/client/cache";
import { Connection } from "../../src/client/connection";
import type { ConnectionEvents } from "../../src/client/events";
import { type ConnectOptions, settle } from "../../src/client/options";
import { FakeClock, FakeSockets, turn } from "./fake-runtime";
import { invariants } from "./invariants";

export const URL = "ws://cache.example/ws";

/** A client that is connected over sockets and time of the test's own, and everything that it does to the world. */
export async function connected(options: ConnectOptions = {}) {
  const clock = new FakeClock();
  const sockets = new FakeSockets();
  const settled = settle(URL, { WebSocket: sockets.WebSocket, ...options });
  const connection = new Connection(settled, clock, () => 1);
  const events: [string, object][] = [];
  for (const name of ["open", "close", "reconnecting"] as const)
    connection.events.on(name, (event: ConnectionEvents[typeof name]) => events.push([name, event]));
  const connecting = connection.connect();
  sockets.last.open();
  await connecting;
  invariants(connection);
  events.length = 0;
  /** What goes on until nothing more does, then what always holds. */
  const settleDown = async () => {
    await turn();
    invariants(connection);
  };
  const pass = async (ms: number) => {
    await clock.advance(ms);
    await settleDown();
  };
  return { cache: new Cache(connection), connection, clock, sockets, events, settleDown, pass };
}
