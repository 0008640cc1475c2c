/**
 * A store's memory that outlives the server: a mapped file with a block for each shard, and what the last server left in it.
 *
 * What the next server finds is decided by the order of the calls that change the file:
 *
 * - A process that is killed, even by SIGKILL, has made each of its stores to the mapping or has not, and the kernel has
 *   those that it made. So as long as the machine runs, the blocks are of one moment, and a note is true once written.
 * - A machine that loses power leaves pages of any moment on its disk. So nothing is trusted then but a note that says
 *   CLEAN. It is written after a sync of all else (close), and replaced, with a sync, before anything changes (attach).
 * - Making the file begins with a new first page, synced: wherever the making ends, the next server knows the file as its
 *   own, and the versions that were given out.
 */
import type { MappedBytes } from "../store/memory";
import { bootId } from "../system/machine";
import { CacheFile, refusal, unusable } from "./file";
import {
  blockStart,
  encodeIdentity,
  encodeNote,
  fileBytesOf,
  HEADER_BYTES,
  type Identity,
  isOurs,
  type Note,
  notePlace,
  NOTES_START,
  readHeader,
  type Shape,
  State,
} from "./header";
import { misfit } from "./misfit";

export { KeptRefusal, KeptUnusable } from "./file";

export interface Plan {
  readonly directory: string;
  /** How long the last server may have been gone. */
  readonly maxAgeMs: number;
  readonly shape: Shape;
}

/** How the cache begins. */
export type Beginning =
  | {
      readonly kind: "warm";
      /** The last server has ended by itself: its blocks are whole, and nobody is in them. */
      readonly isClean: boolean;
      /** How long ago the last server's last heartbeat was. */
      readonly awayMs: number;
      /** What its store's clock showed then: this one's goes on from there. */
      readonly clock: number;
    }
  /** The blocks are all zeros. The reason is a clause, such as "its header is damaged"; null where nothing was there. */
  | { readonly kind: "cold"; readonly reason: string | null };

/**
 * Opens the memory that the last server left, or makes it anew where there is none that fits.
 * Throws KeptRefusal where no server may start with this directory: another one has it, or it holds what is not ours.
 * Throws KeptUnusable where memory can't be kept there: no room, no permission. What it held is dropped then, as far as
 * that can be done, because it gets stale while a server goes on without it.
 * @param now wall time, ms
 */
export function openKept(plan: Plan, now: number): Kept {
  const file = CacheFile.open(plan.directory);
  try {
    const page = file.read(HEADER_BYTES);
    if (page.length > 0 && !isOurs(page)) throw refusal(file.path, "is not a Breadbox cache");
    return attachOrMake(file, page, plan, now);
  } catch (error) {
    file.close();
    throw unusable(`${file.path} cannot be used`, error);
  }
}

function attachOrMake(file: CacheFile, page: Buffer, plan: Plan, now: number): Kept {
  const isNew = page.length === 0;
  const header = readHeader(page);
  const { identity, note } = header;
  const present = { ...plan, fileBytes: file.bytes, bootId: bootId(), now };
  const reason = isNew ? null : misfit(header, present);
  try {
    file.makePrivate();
    if (!isNew && reason === null) return Kept.attach(file, identity!, note!, now);
    return Kept.make(file, plan.shape, { reason, versionFloor: note?.versionFloor ?? 0 });
  } catch (error) {
    dropContent(file, isNew ? 0 : HEADER_BYTES);
    throw error;
  }
}

function dropContent(file: CacheFile, bytesKept: number): void {
  try {
    file.truncate(bytesKept);
  } catch {
    // What led here is what the operator has to know.
  }
}

/** The memory, for as long as a server has it. One thread opens and closes it; all threads may use the blocks. */
export class Kept {
  /** One a shard. They stay mapped until the process ends. */
  readonly blocks: readonly MappedBytes[];
  /** No version above it was given out by an earlier server; 0 where that is not known. A cold start begins above it. */
  readonly versionFloor: number;
  private readonly bootId = bootId();
  private hasBeaten = false;
  /** Null once closed. */
  private file: CacheFile | null;

  private constructor(
    file: CacheFile,
    private readonly identity: Identity,
    private note: Note,
    readonly beginning: Beginning,
  ) {
    this.file = file;
    this.versionFloor = note.versionFloor;
    const address = file.map(identity.fileBytes);
    this.blocks = Array.from({ length: identity.shards }, (_, index) => ({
      address: address + blockStart(index, identity),
      bytes: identity.shardBytes,
    }));
  }

  /** Goes on with what the last server left; nothing of it changes before the file says that. */
  static attach(file: CacheFile, identity: Identity, note: Note, now: number): Kept {
    file.reserve(identity.fileBytes);
    const { heartbeat, clock, versionFloor } = note;
    const isClean = note.state === State.CLEAN;
    const awayMs = Math.max(0, now - heartbeat);
    const kept = new Kept(file, identity, note, { kind: "warm", isClean, awayMs, clock });
    // In both places: if the second note is damaged one day, the first must not say that all is clean. The heartbeat is
    // still the last server's: one that dies before it serves makes the cache no younger.
    kept.write({ state: State.RUNNING, heartbeat, clock, versionFloor });
    kept.write({ state: State.RUNNING, heartbeat, clock, versionFloor });
    file.sync();
    return kept;
  }

  /** Makes it anew. Until the first beat the file says that it is being made. */
  static make(file: CacheFile, shape: Shape, past: { reason: string | null; versionFloor: number }): Kept {
    const [seed0, seed1] = crypto.getRandomValues(new Uint32Array(2));
    const identity = { ...shape, seed: [seed0!, seed1!] as const, fileBytes: fileBytesOf(shape) };
    const { reason, versionFloor } = past;
    const note = { sequence: 0, state: State.FORMING, heartbeat: 0, clock: 0, versionFloor, bootId: "" };
    const page = encodeIdentity(identity);
    encodeNote(note).copy(page, notePlace(note));
    if (file.bytes > 0) {
      // A disk that loses power in the middle of the page must not leave the old note beside the new identity.
      file.write(page.subarray(NOTES_START), NOTES_START);
      file.sync();
    }
    file.write(page, 0);
    file.sync();
    file.truncate(HEADER_BYTES);
    file.reserve(identity.fileBytes);
    return new Kept(file, identity, note, { kind: "cold", reason });
  }

  /** The seed of the hash by which entries are found in the blocks. */
  get seed(): readonly [number, number] {
    return this.identity.seed;
  }

  /**
   * Says that the server lives; to be called each second. After a cold start the first call also says that the blocks
   * are formatted: a server that ends before it leaves nothing. Throws KeptUnusable where the file can't be written, or is
   * not what the next server would find.
   * @param now wall time, ms
   * @param clock the store's, ms
   * @param versionFloor no version above it is given out before the next beat
   */
  beat(now: number, clock: number, versionFloor: number): void {
    try {
      this.file?.checkPlace();
      this.write({ state: State.RUNNING, heartbeat: now, clock, versionFloor });
      this.hasBeaten = true;
    } catch (error) {
      throw unusable("the heartbeat cannot be written", error);
    }
  }

  /**
   * Ends it well, once no thread writes to the blocks any more. A server that has not beaten has not served: then the cache gets no
   * younger by it. On a disk this takes as long as it takes to write what
   * changed lately. Throws KeptUnusable where that fails: then the next server finds what it finds after a kill.
   */
  close(now: number, clock: number, versionFloor: number): void {
    const { hasBeaten, note } = this;
    const said = hasBeaten ? { heartbeat: now, clock, versionFloor } : note;
    try {
      this.file?.checkPlace();
      this.file?.sync();
      this.write({ ...said, state: note.state === State.FORMING ? State.FORMING : State.CLEAN });
      this.file?.sync();
    } catch (error) {
      throw unusable("the cache cannot be written to its disk", error);
    } finally {
      this.abandon();
    }
  }

  /** Lets another server have it, which finds what it finds after a kill. */
  abandon(): void {
    this.file?.close();
    this.file = null;
  }

  /** Writes the next note; nothing once closed. */
  private write(said: Omit<Note, "sequence" | "bootId">): void {
    if (this.file === null) return;
    const { state, heartbeat, clock, versionFloor } = said;
    const sequence = this.note.sequence + 1;
    const note = { sequence, state, heartbeat, clock, versionFloor, bootId: this.bootId };
    this.file.write(encodeNote(note), notePlace(note));
    this.note = note;
  }

  /** Throws where something is not as it always is (tests call it). */
  invariants(): void {
    const { blocks, identity, note, file } = this;
    if (file === null) return;
    const header = readHeader(file.read(HEADER_BYTES));
    const start = blocks[0]!.address - HEADER_BYTES;
    const last = blocks.at(-1)!;
    const rules: [holds: boolean, rule: string][] = [
      [Bun.deepEquals(header.identity, identity), "the file says what it is"],
      [Bun.deepEquals(header.note, note), "the file says what was said last"],
      [file.bytes === identity.fileBytes, "the file has all its bytes"],
      [blocks.every(({ address }) => address % HEADER_BYTES === 0), "blocks begin with a page"],
      [last.address + last.bytes <= start + identity.fileBytes, "blocks are within the file"],
    ];
    for (const [holds, rule] of rules) if (!holds) throw new Error(`kept memory: ${rule}`);
  }
}
