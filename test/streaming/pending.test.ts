/** Changes that a worker has not read of yet while its connections go on watching: two workers in this thread, so that nothing happens between. */
import { expect, test } from "bun:test";
import { Store } from "../../src/store/store";
import { isPush, pushes } from "../support/frames";
import { NotedSocket, workerOver } from "../support/small-session";
import { SmallStore } from "../support/small-store";
import { smallStreamMemory } from "../support/small-streams";
import { getWatched, ping, put } from "../support/stream-requests";

function twoWorkers() {
  const { memory: blocks } = new SmallStore({ shardBytes: 1 << 20 });
  // One word for all keys: each change is in doubt about every watch.
  const memory = smallStreamMemory(1, { workers: 2, interestWords: 1 });
  return [0, 1].map((worker) => {
    const store = { store: new Store(blocks, worker + 1), now: 1000 };
    const parts = workerOver(store, undefined, undefined, { memory, worker });
    const socket = new NotedSocket();
    const session = parts.open(socket);
    const ask = (...requests: Buffer[]) => session.receive(Buffer.concat(requests));
    const told = () =>
      socket.sent
        .splice(0)
        .flatMap((message) => (isPush(message as Buffer) ? pushes(message as Buffer) : []))
        .flatMap((push) => (push.push === "CHANGED" ? push.keys.map(({ key }) => key) : []));
    return { ask, told, streams: parts.streams };
  }) as [Side, Side];
}

interface Side {
  ask(...requests: Buffer[]): void;
  told(): string[];
  streams: ReturnType<typeof workerOver>["streams"];
}

test("a watch that is set again while its end is on the way is in force, whatever was watched before it", () => {
  const [watcher, writer] = twoWorkers();
  watcher.ask(getWatched("a"), getWatched("b"));
  expect(watcher.told()).toEqual([]);
  writer.ask(put("a", "1"));
  // The watcher's worker has not looked: the first of these sets the interest again, the second finds its old watch.
  watcher.ask(getWatched("b"), getWatched("a"));
  expect(new Set(watcher.told())).toEqual(new Set(["a", "b"]));
  writer.ask(put("a", "2"));
  watcher.ask(ping());
  expect(watcher.told()).toContain("a");
  for (const { streams } of [watcher, writer]) {
    streams.invariants();
    streams.stop();
  }
});

test("a change that the read has seen does not use up its watch", () => {
  const [watcher, writer] = twoWorkers();
  watcher.ask(getWatched("a"));
  watcher.told();
  writer.ask(put("a", "1"), put("a", "2"));
  watcher.ask(getWatched("a"));
  expect(watcher.told()).toEqual(["a"]);
  writer.ask(put("a", "3"));
  watcher.ask(ping());
  expect(watcher.told()).toEqual(["a"]);
  for (const { streams } of [watcher, writer]) streams.stop();
});
