/**
 * Clients that keep what is under a prefix, by a watch and by reading again what it tells: whatever happens in between, in the
 * end they have what the cache has.
 */
import { expect, test } from "bun:test";
import type { CacheError, Change } from "../../src/client/client";
import { Random } from "../support/random";
import { connected } from "./fake-connection";
import { FakeClock } from "./fake-runtime";
import { type Link, ModelServer } from "./model-server";

const RUNS = 60;
const STEPS = 300;
const CLIENTS = 2;
const PREFIX = "a:";
const UNDER = ["a:0", "a:1", "a:2"];
const KEYS = [...UNDER, "b:0"];
const PREFIXES = ["", "a:", "a:1", "b:"];

/** Keeps a view of the prefix. */
class Keeper {
  readonly view = new Map<string, string | null>();
  /** What has to be read again. */
  readonly dirty = new Set<string>();
  link: Link;
  resets = 0;
  readonly ended: Promise<void>;

  constructor(
    readonly client: Awaited<ReturnType<typeof connected>>,
    server: ModelServer,
  ) {
    this.link = server.connect(client.sockets.last);
    this.ended = this.listen();
  }

  /** Reads one of those. */
  read(): void {
    const [key] = this.dirty;
    if (key === undefined) return;
    this.dirty.delete(key);
    this.client.cache.get(key).then(
      (value) => this.view.set(key, value),
      () => this.dirty.add(key),
    );
  }

  private async listen(): Promise<void> {
    for (;;) {
      for (const key of UNDER) this.dirty.add(key);
      try {
        for await (const change of this.client.cache.watch(PREFIX)) {
          for (const key of keysOf(change)) this.dirty.add(key);
          if (change.reset !== undefined) this.resets++;
        }
        return;
      } catch (error) {
        if ((error as CacheError).code !== "timeout") throw error;
      }
    }
  }
}

function keysOf({ key, reset }: Change): string[] {
  return key === undefined ? UNDER.filter((under) => under.startsWith(reset)) : [key];
}

class Walk {
  readonly keepers: Keeper[] = [];
  private readonly clock = new FakeClock();
  private readonly random: Random;
  private readonly server: ModelServer;
  private values = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.server = new ModelServer(this.clock, this.random);
  }

  async begin(): Promise<void> {
    const options = { timeoutMs: 300, heartbeatMs: 200, reconnectMinMs: 20, reconnectMaxMs: 100 };
    while (this.keepers.length < CLIENTS)
      this.keepers.push(new Keeper(await connected(options, this.clock), this.server));
  }

  async step(): Promise<void> {
    await this.random.pick(this.steps)();
    for (const { client } of this.keepers) await client.settleDown();
  }

  /** All is well again, for long enough that nothing waits any more. */
  async heal(): Promise<void> {
    for (let round = 0; round < 100; round++) {
      for (const keeper of this.keepers) {
        this.accept(keeper);
        keeper.read();
        this.server.answerAll(keeper.link);
        await keeper.client.settleDown();
      }
      await this.clock.advance(20);
    }
  }

  judge(): void {
    const cached = Object.fromEntries(UNDER.map((key) => [key, this.server.valueOf(key)]));
    for (const { view, dirty } of this.keepers) {
      expect([...dirty]).toEqual([]);
      expect(Object.fromEntries(view)).toEqual(cached);
    }
  }

  async end(): Promise<void> {
    for (const { client, ended, link } of this.keepers) {
      const closed = client.cache.close();
      await client.settleDown();
      link.socket.end(1000);
      await closed;
      await ended;
    }
  }

  private readonly steps: (() => unknown)[] = [
    () => this.server.write(this.key(), this.value(), null),
    () => this.server.write(this.key(), this.value(), null),
    () => this.server.remove(this.key()),
    () => this.put(this.keeper()),
    () => this.rarely(4) && this.server.clear(this.random.pick(PREFIXES)),
    () => this.rarely(4) && this.server.overflow(this.keeper().link),
    () => this.rarely(4) && this.breakOff(this.keeper()),
    () => this.rarely(8) && (this.keeper().link.isMute = true),
    () => this.server.execute(this.keeper().link),
    () => this.server.send(this.keeper().link),
    () => this.server.answerAll(this.keeper().link),
    () => this.clock.advance(this.random.below(60)),
    () => this.accept(this.keeper()),
    () => this.keeper().read(),
    () => this.keeper().read(),
  ];

  private rarely(times: number): boolean {
    return this.random.below(times) === 0;
  }

  private keeper(): Keeper {
    return this.random.pick(this.keepers);
  }

  private key(): string {
    return this.random.pick(KEYS);
  }

  private value(): string {
    return `value ${this.values++}`;
  }

  /** Whether it is answered does not matter here. */
  private put({ client }: Keeper): void {
    client.cache.put(this.key(), this.value()).catch(() => {});
  }

  private breakOff({ client, link }: Keeper): void {
    if (client.sockets.last.state === "open") link.socket.end();
  }

  private accept(keeper: Keeper): void {
    const { last } = keeper.client.sockets;
    if (last.state !== "connecting") return;
    last.open();
    keeper.link = this.server.connect(last);
  }
}

test("whatever happens, who reads again what he is told of has what the cache has", async () => {
  let resets = 0;
  for (let seed = 1; seed <= RUNS; seed++) {
    try {
      const walk = new Walk(seed);
      await walk.begin();
      for (let step = 0; step < STEPS; step++) await walk.step();
      await walk.heal();
      walk.judge();
      await walk.end();
      resets += walk.keepers.reduce((sum, { resets }) => sum + resets, 0);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  expect(resets).toBeGreaterThan(100);
});
