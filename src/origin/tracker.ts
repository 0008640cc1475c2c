/**
 * Tracks all masters of the origin, for the whole process, in one of its threads: finds them, keeps a tracking connection to each, and keeps
 * the table of trust by what they say.
 *
 * What is promised: a copy is served at a time t only if its master owned the copy's slot at some time p ≥ t − maxAge, and all that had changed in the
 * slot before p was handled. Why it holds:
 *
 * 1. A slot is trusted from an answer of its master on that claims it (claims.ts), over a connection whose CLIENT TRACKING was acknowledged. A copy with
 *    this epoch was read from the cluster after that. So each change since the read is told over that connection, as long as the master owns the slot.
 * 2. `proven` is when the beat before was sent. All that changed before is handled (tracking.ts says why): the copy is dropped, or where it cannot
 *    be, its slot is distrusted, which voids it too. Both answers claimed the slot.
 * 3. Could another master have owned the slot between two answers that claim it? Then this one took it over again, and that raises its epoch in the
 *    cluster. Where that has changed, all its slots are distrusted. (Whoever gives slots away by ADDSLOTS or SETSLOT without IMPORTING keeps the cluster from noticing;
 *    such a slot must stay away for longer than a beat.)
 * 4. A slot on its way elsewhere is not claimed: its keys are read and written at two nodes. Those that are read before we know are served
 *    for no longer than maxAge, since the next answer, which would prove the slot for longer, does not claim it.
 * 5. The connection ends, or an answer is late: the slots are distrusted, and what changes until the next connection has told nobody a thing is
 *    of no concern, since all copies are void. Should this thread stop, nothing is proven any more, and nothing is served after maxAge.
 *
 * What the cluster itself loses in a failover is not in it: a master that has lost touch answers reads until it notices (cluster-node-timeout).
 */
import { Claims } from "./claims";
import type { Sink } from "./sink";
import { slotOf } from "./slots";
import type { Connect } from "./socket";
import { type Beat, type Timing, Tracking, type TrackingListener, type TrackingSettings } from "./tracking";
import { MASTERS_MAX, type Trust } from "./trust";

export interface TrackerSettings extends TrackingSettings {
  /** `host:port` each; at least one. */
  readonly seeds: readonly string[];
}

export interface TrackerMeans {
  readonly trust: Trust;
  readonly sink: Sink;
  readonly connect: Connect;
  readonly timing: Timing;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** A line for the log, at a change of state. */
  readonly tell: (level: "info" | "warn", text: string) => void;
}

export interface TrackerCounts {
  /** Masters whose connections beat: a gauge. */
  readonly connections: number;
  /** Connections that were ended because an answer did not come in time. */
  readonly beatsLate: number;
  /** Keys that were told to have changed; all keys count as one. */
  readonly invalidations: number;
  /** Times that a connection to a master was tried again. */
  readonly reconnects: number;
  /** Times that a slot ceased to be trusted. */
  readonly epochsRaised: number;
}

/** Between two tries to connect: at first, and at most; each is a random part of it more than a half. */
export const RETRY_MS_MIN = 50;
export const RETRY_MS_MAX = 2000;

/** No slot is trusted for what a seed says. */
const UNHEARD: Sink = { changed: () => {}, changedAll: () => {}, missed: () => {} };

/** A master, as long as somebody says that it is one. */
interface Master {
  readonly address: string;
  /** In the table of trust. */
  readonly place: number;
  connection: Tracking | null;
  cancelRetry: () => void;
  retryMs: number;
  /** What its connection has said last; null before, and when it has ended. */
  said: Beat | null;
  /** What the log was told last. */
  told: "nothing" | "tracked" | "unproven" | "lost";
}

export class Tracker {
  private readonly masters = new Map<string, Master>();
  private readonly freePlaces = Array.from({ length: MASTERS_MAX }, (_, index) => MASTERS_MAX - 1 - index);
  private readonly claims: Claims;
  /** Asks a seed who the masters are; null while that is known. */
  private scout: Tracking | null = null;
  private cancelScout = () => {};
  private nextSeed = 0;
  private seedsFailed = 0;
  private isStopped = false;
  private beatsLate = 0;
  private invalidations = 0;
  private reconnects = 0;

  /**
   * What an earlier tracker trusted is not trusted any more. There must be no other one on the same table.
   * Throws when the settings are of no use.
   */
  constructor(
    private readonly settings: TrackerSettings,
    private readonly means: TrackerMeans,
  ) {
    if (settings.seeds.length === 0) throw new Error("the origin needs at least one address");
    if (settings.namespace.includes("{"))
      throw new Error(`the origin's namespace ${JSON.stringify(settings.namespace)} must not contain {`);
    this.claims = new Claims(means.trust);
    means.trust.distrustAll();
    // What its predecessor has not told any more.
    this.onMissed();
    this.askSeed();
  }

  /** Ends all connections; nothing is trusted any more. */
  stop(): void {
    this.isStopped = true;
    this.cancelScout();
    this.scout?.close();
    for (const master of [...this.masters.values()]) this.drop(master);
  }

  get counts(): TrackerCounts {
    const { beatsLate, invalidations, reconnects } = this;
    const { epochsRaised } = this.means.trust.counts;
    return { connections: this.live.length, beatsLate, invalidations, reconnects, epochsRaised };
  }

  /** Addresses of the masters that are known. */
  get addresses(): string[] {
    return [...this.masters.keys()];
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    const masters = [...this.masters.values()];
    const places = new Set(masters.map(({ place }) => place));
    if (places.size !== masters.length || masters.some(({ place }) => this.freePlaces.includes(place)))
      throw new Error("a place is taken twice");
    if (places.size + this.freePlaces.length !== MASTERS_MAX) throw new Error("a place is gone");
    for (const { address, connection, said, place } of masters) {
      connection?.invariants();
      if (connection === null && said !== null)
        throw new Error(`${address} has said something without a connection`);
      if (said === null && this.claims.of(place).length > 0)
        throw new Error(`${address} claims slots in silence`);
    }
    this.claims.invariants();
  }

  private get live(): Master[] {
    return [...this.masters.values()].filter(({ said }) => said !== null);
  }

  /** Asks the seeds in turn, until one says who the masters are, or one of those that were known answers again. */
  private askSeed(): void {
    if (this.isStopped || this.live.length > 0) return;
    const { seeds } = this.settings;
    const address = seeds[this.nextSeed]!;
    this.nextSeed = (this.nextSeed + 1) % seeds.length;
    this.scout = this.connect(address, {
      ...UNHEARD,
      answered: ({ view }) => {
        this.endScout();
        if (this.live.length > 0) return;
        if (view.masters.length === 0) return this.seedFailed(address, "it knows no master");
        this.seedsFailed = 0;
        this.follow(view.masters);
      },
      lost: (reason) => {
        this.endScout();
        this.seedFailed(address, reason);
      },
    });
  }

  private endScout(): void {
    this.scout?.close();
    this.scout = null;
  }

  private seedFailed(address: string, reason: string): void {
    const { seeds } = this.settings;
    this.seedsFailed++;
    if (this.seedsFailed === seeds.length)
      this.means.tell("warn", `origin: none of its addresses answers; ${address}: ${reason}`);
    const round = Math.floor(this.seedsFailed / seeds.length);
    this.askSeedIn(this.spread(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(round, 16))));
  }

  private askSeedIn(ms: number): void {
    this.cancelScout();
    this.cancelScout = this.means.timing.after(ms, () => {
      if (this.scout === null) this.askSeed();
    });
  }

  /** These are the masters: connections to others end, to new ones they begin. */
  private follow(addresses: Iterable<string>): void {
    const wanted = new Set(addresses);
    for (const master of [...this.masters.values()]) if (!wanted.has(master.address)) this.drop(master);
    for (const address of wanted) if (!this.masters.has(address)) this.add(address);
  }

  private add(address: string): void {
    const place = this.freePlaces.pop();
    if (place === undefined)
      return this.means.tell("warn", `origin: more than ${MASTERS_MAX} masters; ${address} is not tracked`);
    const master: Master = {
      address,
      place,
      connection: null,
      cancelRetry: () => {},
      retryMs: RETRY_MS_MIN,
      said: null,
      told: "nothing",
    };
    this.masters.set(address, master);
    this.track(master);
  }

  private drop(master: Master): void {
    this.fall(master);
    master.cancelRetry();
    master.connection?.close();
    master.connection = null;
    this.masters.delete(master.address);
    this.freePlaces.push(master.place);
  }

  /** Nothing of this master's is trusted any more. */
  private fall(master: Master): void {
    master.said = null;
    this.claims.set(master.place, new Uint16Array(0));
    this.means.trust.retire(master.place);
  }

  private track(master: Master): void {
    master.connection = this.connect(master.address, {
      changed: (key) => this.onChanged(key),
      changedAll: () => this.onChangedAll(),
      answered: (beat) => this.onBeat(master, beat),
      lost: (reason, isLate) => this.onLost(master, reason, isLate),
    });
  }

  private connect(address: string, listener: TrackingListener): Tracking {
    const { connect, timing } = this.means;
    return new Tracking(address, this.settings, { connect, timing }, listener);
  }

  private onBeat(master: Master, beat: Beat): void {
    const { trust } = this.means;
    const { view, provenAt } = beat;
    const before = master.said;
    master.said = beat;
    // What was read of its keys before is watched, and nobody told of their changes.
    if (before === null && view.slots.length > 0) this.onMissed();
    const { epochsRaised } = trust.counts;
    if (before !== null && before.view.epoch !== view.epoch) trust.lose(master.place);
    this.claims.set(master.place, view.slots);
    // Their next owner may not be tracked yet, and what is read from now on is not watched before they are trusted again.
    if (before !== null && trust.counts.epochsRaised !== epochsRaised) this.onMissed();
    if (provenAt !== null) {
      trust.proven(master.place, provenAt);
      this.claims.confirm(master.place);
      master.retryMs = RETRY_MS_MIN;
    }
    if (before !== null) this.tellBeat(master, beat);
    if (!hasSameMasters(before, beat)) this.followAll();
  }

  /** All that anybody tracked takes for a master. */
  private followAll(): void {
    const named = this.live.flatMap(({ said }) => said!.view.masters);
    if (named.length > 0) this.follow(named);
  }

  private tellBeat(master: Master, { view, provenAt }: Beat): void {
    const { address } = master;
    const told = provenAt === null ? "unproven" : "tracked";
    if (told === master.told || !view.isMaster) return;
    master.told = told;
    if (told === "tracked")
      this.means.tell(
        "info",
        `origin: tracks the master ${address}; its ${view.slots.length} slots are served from memory`,
      );
    else
      this.means.tell(
        "warn",
        `origin: the master ${address} does not serve its slots; they are not served from memory until it does`,
      );
  }

  private onLost(master: Master, reason: string, isLate: boolean): void {
    const slots = this.claims.of(master.place).length;
    if (isLate) this.beatsLate++;
    if (slots > 0) this.onMissed();
    this.fall(master);
    master.connection = null;
    if (master.told !== "lost") {
      master.told = "lost";
      const what = slots === 0 ? "" : `; its ${slots} slots are not served from memory until it is back`;
      this.means.tell("warn", `origin: lost the master ${master.address}: ${reason}${what}`);
    }
    master.cancelRetry = this.means.timing.after(this.spread(master.retryMs), () => {
      this.reconnects++;
      this.track(master);
    });
    master.retryMs = Math.min(RETRY_MS_MAX, 2 * master.retryMs);
    this.followAll();
    if (this.live.length === 0 && this.scout === null) this.askSeedIn(this.spread(RETRY_MS_MIN));
  }

  private onChanged(key: Uint8Array): void {
    this.invalidations++;
    try {
      this.means.sink.changed(key);
    } catch {
      this.means.trust.distrust(slotOf(key, 0, key.length));
    }
  }

  private onChangedAll(): void {
    this.invalidations++;
    try {
      this.means.sink.changedAll();
    } catch {
      this.means.trust.distrustAll();
    }
  }

  private onMissed(): void {
    try {
      this.means.sink.missed();
    } catch (error) {
      this.means.tell("warn", `origin: who watches could not be told that changes were missed: ${error}`);
    }
  }

  /** So that not all nodes come back in the same moment. */
  private spread(ms: number): number {
    return ms * (0.5 + this.means.random() / 2);
  }
}

function hasSameMasters(before: Beat | null, now: Beat): boolean {
  return before !== null && before.view.masters.join() === now.view.masters.join();
}
