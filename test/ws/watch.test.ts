/** Whom the watch ends, look by look: the looks are the test's, so no time passes. */
import { expect, test } from "bun:test";
import { look, LOOKS_MAX, shed } from "../../src/ws/watch";
import { request } from "../support/frames";
import { NotedSocket, smallWorker } from "../support/small-session";

const PING = request({ op: 10, value: Buffer.alloc(1000) });

function lookTimes(times: number, session: Parameters<typeof look>[0], between = () => {}): boolean {
  for (let i = 0; i < times; i++) {
    if (!look(session)) return false;
    between();
  }
  return true;
}

test("who is silent is pinged, and ended when no pong comes", () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  // The first look still sees that it was opened.
  expect(lookTimes(LOOKS_MAX, session)).toBe(true);
  expect(socket.pings).toBe(1);
  expect(lookTimes(1, session)).toBe(false);
  expect(socket.closed).toBe("terminated");
});

test("who answers pings, or sends messages, stays", () => {
  for (const sign of ["pong", "message"] as const) {
    const socket = new NotedSocket();
    const session = smallWorker().open(socket);
    for (let round = 0; round < 5; round++) {
      expect(lookTimes(LOOKS_MAX, session)).toBe(true);
      if (sign === "pong") session.noteSign();
      else session.receive(PING);
    }
    expect(socket.closed).toBe(null);
  }
});

test("pings of many sessions do not leave in the same look", () => {
  const { open } = smallWorker();
  const sessions = Array.from({ length: 150 }, () => {
    const socket = new NotedSocket();
    return { socket, session: open(socket) };
  });
  let before = 0;
  let most = 0;
  for (let i = 0; i < LOOKS_MAX; i++) {
    for (const { session } of sessions) look(session);
    const pings = sessions.reduce((sum, { socket }) => sum + socket.pings, 0);
    most = Math.max(most, pings - before);
    before = pings;
  }
  expect(before).toBe(150);
  expect(most).toBe(10);
});

test("who does not read what waits for it is ended, whatever it sends", () => {
  const socket = new NotedSocket(false);
  const session = smallWorker().open(socket);
  session.receive(PING);
  expect(lookTimes(LOOKS_MAX - 1, session, () => session.receive(PING))).toBe(true);
  expect(lookTimes(1, session)).toBe(false);
  expect(socket.closed).toBe("terminated");
  expect(socket.pings).toBe(0);
});

test("who reads slowly but steadily stays", () => {
  const socket = new NotedSocket(false);
  const session = smallWorker().open(socket);
  session.receive(PING);
  for (let round = 0; round < 10; round++) {
    socket.buffered -= 10;
    expect(lookTimes(LOOKS_MAX - 1, session)).toBe(true);
  }
  expect(socket.closed).toBe(null);
});

test("who leaves our goodbye unanswered is ended, and not pinged", () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  session.receive(Buffer.from([1]));
  expect(socket.closed).toMatchObject({ code: 1008 });
  // Whatever it still sends.
  for (let i = 0; i < LOOKS_MAX - 1; i++) {
    session.noteSign();
    expect(lookTimes(1, session)).toBe(true);
  }
  expect(socket.pings).toBe(0);
  expect(lookTimes(1, session)).toBe(false);
  expect(socket.closed).toBe("terminated");
});

test("who waits for its turn waits for us: never ended", () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  session.receive(Buffer.concat(Array.from({ length: 10_000 }, () => request({ op: 10 }))));
  expect(socket.sent.length).toBeGreaterThan(0);
  expect(socket.paused).toBe(false);
  expect(lookTimes(3 * LOOKS_MAX, session)).toBe(true);
});

test("when all together hold too much, those who hold most are ended, and no more than needed", () => {
  const { open } = smallWorker();
  const sessions = [1, 5, 3].map((messages) => {
    const socket = new NotedSocket(false);
    const session = open(socket);
    // The first is answered, the others wait.
    for (let i = 0; i < messages; i++) session.receive(PING);
    return { socket, session };
  });
  const all = sessions.map(({ session }) => session);
  const held = all.reduce((sum, session) => sum + session.heldBytes(), 0);
  expect(held).toBeGreaterThan(9000);
  expect([...shed(all, held)]).toEqual([]);
  expect([...shed(all, held - 1)]).toEqual([all[1]!]);
  expect(sessions.map(({ socket }) => socket.closed)).toEqual([null, "terminated", null]);
  expect([...shed(all, 0)].length).toBe(2);
});
