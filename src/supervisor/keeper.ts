/**
 * Where the store's memory comes from: from the system, or with --data-dir from a file that keeps it from one start of the server to
 * the next. It decides what becomes of what an earlier server left, tells the file that the server lives, and ends it well.
 */
import type { Settings } from "../config/config";
import { LAYOUT_VERSION, layoutOf } from "../store/layout";
import { OWNER_MAX } from "../store/lock";
import { VERSION_JUMP } from "../store/recovery";
import { createStore, reserveStore, Store, type StoreMemory } from "../store/store";
import type { Log } from "../system/log";
import { timeText } from "../system/duration";
import { type Beginning, Kept, KeptUnusable, openKept } from "../warm/kept";

const BEAT_MS = 1000;

/** What the workers have to check before they serve. */
export interface Inheritance {
  /** Versions go on above this. */
  readonly versionFloor: number;
}

export class Keeper {
  readonly memory: StoreMemory;
  /** This thread's view of the store; its owner number is never in a lock. */
  readonly store: Store;
  /** Null when the cache begins empty. */
  readonly inheritance: Inheritance | null;
  private beating: ReturnType<typeof setInterval> | null = null;

  private constructor(
    private readonly kept: Kept | null,
    private readonly settings: Settings,
    private readonly log: Log,
  ) {
    const { shards, shardBytes } = settings;
    const seed = kept?.seed ?? (crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number]);
    const options = { shards, shardBytes, seed, ...(kept !== null && { mapped: kept.blocks }) };
    // Microseconds since 1970: an earlier life of the server, at up to a million writes a second and shard, gave out lower
    // versions only, so an ETag from then matches nothing now. Also where that life left no file, and above all that are known.
    const versionFloor = Math.max(Date.now() * 1000, (kept?.versionFloor ?? 0) + 1);
    if (kept?.beginning.kind === "warm") {
      this.memory = reserveStore(options);
      this.inheritance = { versionFloor };
    } else {
      this.memory = createStore(options, versionFloor);
      this.inheritance = null;
    }
    this.store = new Store(this.memory, OWNER_MAX);
  }

  /**
   * Takes the memory, which is that of an earlier server where there is one that fits. Throws KeptRefusal when no server may
   * start with this directory, and RangeError when there is not enough memory.
   */
  static open(settings: Settings, log: Log): Keeper {
    if (settings.dataDir === undefined) return new Keeper(null, settings, log);
    const { shards, shardBytes, dataDir, dataMaxAgeMs } = settings;
    const { pageBytes } = layoutOf(shardBytes);
    const shape = { layoutVersion: LAYOUT_VERSION, shards, shardBytes, pageBytes };
    try {
      const kept = openKept({ directory: dataDir, maxAgeMs: dataMaxAgeMs, shape }, Date.now());
      const { beginning } = kept;
      if (beginning.kind === "cold" && beginning.reason !== null)
        log.warn(`the cache in ${dataDir} begins cold: ${beginning.reason}`);
      return new Keeper(kept, settings, log);
    } catch (error) {
      if (!(error instanceof KeptUnusable)) throw error;
      log.warn(
        `--data-dir is of no use, the cache will not be kept: ${error.message}. If an old one is still there, remove it: a later start may go on with it`,
      );
      return new Keeper(null, settings, log);
    }
  }

  /** What the store's clock shows now, ms since 1970: the one of the entries that are there goes on. */
  get clockNow(): number {
    const beginning = this.kept?.beginning;
    return beginning?.kind === "warm" ? beginning.clock + beginning.awayMs : Date.now();
  }

  /**
   * Says from now on, each second, that the server lives. In memory that begins empty before anybody writes: from the first beat on the
   * next server trusts it. In memory of an earlier server once this one serves: a start that comes to nothing makes entries no younger.
   * @param clock the store's
   */
  startBeating(clock: () => number): void {
    const { kept } = this;
    if (kept === null || this.beating !== null) return;
    let failed = false;
    const beat = () => {
      try {
        kept.beat(Date.now(), clock(), this.highestVersion() + VERSION_JUMP);
      } catch (error) {
        if (!failed)
          this.log.error(`the cache may not be kept over the next start: ${(error as Error).message}`);
        failed = true;
      }
    };
    beat();
    this.beating = setInterval(beat, BEAT_MS);
  }

  /**
   * Lets the next server have the memory. @param isWhole no thread uses it any more, and none will
   */
  close(isWhole: boolean, clock: () => number): void {
    const { kept } = this;
    if (kept === null) return;
    if (this.beating !== null) clearInterval(this.beating);
    // The lock of the file goes with the process. Until then a thread that could not be ended may write to it.
    if (!isWhole) return;
    try {
      kept.close(Date.now(), clock(), this.highestVersion());
    } catch (error) {
      this.log.error((error as Error).message);
    }
  }

  /** How the cache begins, for the line that says that the server serves; null where that goes without saying. */
  describe(): string | null {
    if (this.kept === null) return null;
    return beginningText(this.kept.beginning, this.store.stats().total.entriesKept, this.settings.dataDir!);
  }

  private highestVersion(): number {
    return this.store.shards.reduce((highest, shard) => Math.max(highest, shard.highestVersion), 0);
  }
}

function beginningText(beginning: Beginning, entries: number, directory: string): string {
  if (beginning.kind === "cold") {
    const { reason } = beginning;
    return reason === null ? `the cache in ${directory} is new` : `the cache in ${directory} begins cold`;
  }
  const { isClean, awayMs } = beginning;
  const end = isClean ? "stopped" : "was killed";
  return `kept ${entries.toLocaleString("en")} ${entries === 1 ? "entry" : "entries"} of the server that ${end} ${timeText(awayMs)} ago`;
}
