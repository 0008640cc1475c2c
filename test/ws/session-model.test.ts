/**
 * A session against a list of what it was asked: random messages, a kernel that takes replies or not, turns that end, and
 * ends of every kind. After each step the state is whole; at the end every request has its reply, in order, unless the
 * connection was cut.
 */
import { expect, test } from "bun:test";
import { Phase } from "../../src/ws/session";
import { replies, request } from "../support/frames";
import { Random } from "../support/random";
import { NotedSocket, smallWorker } from "../support/small-session";

const ROUNDS = 12;
const STEPS = 100;
const PING = 10;
const CLEAR = 9;
const GET = 1;

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** What a session was sent, as the texts that its replies have to carry, in order. */
class Client {
  readonly socket = new NotedSocket();
  readonly expected: string[] = [];
  private asked = 0;

  constructor(private readonly random: Random) {}

  message(): Buffer | string {
    return this.random.below(4) === 0 ? this.text() : this.batch();
  }

  private batch(): Buffer {
    const count = [0, 1, 3, 300, 3000][this.random.below(5)]!;
    return Buffer.concat(Array.from({ length: count }, () => this.binary()));
  }

  private binary(): Buffer {
    const kind = this.random.below(400);
    if (kind === 0) {
      this.expected.push("NUMBER");
      return request({ op: CLEAR, key: "nothing:" });
    }
    if (kind < 20) {
      this.expected.push("VALUE large");
      return request({ op: GET, key: "large" });
    }
    const name = String(this.asked++);
    this.expected.push(`VALUE ${name}`);
    return request({ op: PING, value: Buffer.from(name) });
  }

  private text(): string {
    const names = Array.from({ length: 1 + this.random.below(200) }, () => String(this.asked++));
    this.expected.push(...names.map((name) => `TEXT ${name}`));
    return JSON.stringify(names.map((value) => ({ op: "ping", value })));
  }

  answered(): string[] {
    return this.socket.sent.flatMap((sent) =>
      typeof sent === "string"
        ? (JSON.parse(sent) as { value: string }[]).map(({ value }) => `TEXT ${value}`)
        : replies(sent).map((reply) =>
            reply.status === "VALUE"
              ? `VALUE ${reply.value.length > 100 ? "large" : reply.value.toString()}`
              : reply.status,
          ),
    );
  }
}

test("every request is answered once and in order, whatever the kernel and the turns do", async () => {
  const random = new Random(20_261);
  for (let round = 0; round < ROUNDS; round++) {
    const worker = smallWorker();
    worker.store.put("large", Buffer.alloc(30_000, 97));
    const clients = [0, 1, 2].map(() => new Client(random));
    const sessions = clients.map(({ socket }) => worker.open(socket));
    for (let step = 0; step < STEPS; step++) {
      const i = random.below(3);
      const [session, { socket }] = [sessions[i]!, clients[i]!];
      switch (random.below(6)) {
        case 0:
          socket.kernelTakes = !socket.kernelTakes;
          break;
        case 1:
          socket.buffered = 0;
          session.drained();
          break;
        case 2:
          await nextTurn();
          break;
        default:
          // A client whose socket is paused sends nothing that would be read.
          if (!socket.paused) session.receive(clients[i]!.message());
      }
      for (const each of sessions) each.invariants();
    }
    // One is cut in the middle of whatever it does, and stays cut.
    const cut = sessions.pop()!;
    cut.receive(Buffer.concat(Array.from({ length: 20_000 }, () => request({ op: PING }))));
    cut.cut();
    for (const [i, session] of sessions.entries()) {
      const { socket } = clients[i]!;
      socket.kernelTakes = true;
      session.finish(1001, "the end");
      while (session.phase !== Phase.CLOSED) {
        socket.buffered = 0;
        session.drained();
        await nextTurn();
        session.invariants();
      }
      expect(socket.closed).toEqual({ code: 1001, reason: "the end" });
      expect(clients[i]!.answered()).toEqual(clients[i]!.expected);
    }
    await nextTurn();
    cut.invariants();
    expect([cut.phase, clients[2]!.socket.closed]).toEqual([Phase.CLOSED, "terminated"]);
    expect(worker.quota.used).toBe(0);
  }
});
