/**
 * The first page of the file that keeps the store's memory, as bytes: what the file holds, and what the server that wrote
 * to it last said about itself. Little-endian:
 *
 *      0  magic, 8 bytes │ header version u32 │ layout version u32 │ shards u32 │ shard bytes u32 │ page bytes u32
 *     28  seed of the hash, u32 u32 │ 0 │ bytes of the whole file f64 │ checksum u32 of all before it
 *   1024  note 0            sequence f64 │ heartbeat f64 │ version floor f64 │ clock f64 │ state u32 │ boot id, 36 bytes │
 *   2048  note 1            checksum u32 of all before it
 *   4096  block 0, block 1, …: one a shard, each at a multiple of 4096
 *
 * The part before the notes is written once, when the file is made. Notes are written in turn, so that a note that was
 * written by halves, or whose bits have changed, leaves the one before it to be read.
 *
 * Invariant: a page is believed only where its checksums hold. Magic and notes keep their places in every later version
 * of this header: so a later server finds the version floor even where it can use nothing else.
 */

export const HEADER_BYTES = 4096;
const BLOCK_ALIGNMENT = 4096;
/** Not the beginning of any text. */
const MAGIC = Buffer.from("\x89BRDBOX\n", "latin1");
/** Of the part before the notes; a file with another one is not ours to read. */
export const HEADER_VERSION = 1;
const BOOT_ID_BYTES = 36;

const AT = {
  HEADER_VERSION: 8,
  LAYOUT_VERSION: 12,
  SHARDS: 16,
  SHARD_BYTES: 20,
  PAGE_BYTES: 24,
  SEED: 28,
  FILE_BYTES: 40,
  CHECKSUM: 48,
} as const;

/** Places within a note. */
const IN_NOTE = {
  SEQUENCE: 0,
  HEARTBEAT: 8,
  VERSION_FLOOR: 16,
  CLOCK: 24,
  STATE: 32,
  BOOT_ID: 36,
  CHECKSUM: 72,
} as const;
export const NOTE_BYTES = IN_NOTE.CHECKSUM + 4;
/** Sectors of their own: a disk that loses power while it writes one note does not damage the other. */
const NOTE_PLACES = [1024, 2048] as const;
export const NOTES_START = NOTE_PLACES[0];

/**
 * What became of the server that wrote the note. FORMING: it was making the file, whose blocks mean nothing yet.
 * RUNNING: it had begun to use the blocks. CLEAN: it has ended, and everything was on the disk before it said so.
 */
export const State = { FORMING: 1, RUNNING: 2, CLEAN: 3 } as const;
export type State = (typeof State)[keyof typeof State];

/** Numbers that all have to fit before a block of an earlier server means anything to this one. */
export interface Shape {
  readonly layoutVersion: number;
  readonly shards: number;
  /** Of one shard's block. */
  readonly shardBytes: number;
  /** Of a page within a block. */
  readonly pageBytes: number;
}

/** The part that is written once. */
export interface Identity extends Shape {
  readonly seed: readonly [number, number];
  readonly fileBytes: number;
}

export interface Note {
  /** Larger in each note: of two, the larger one is the last. */
  readonly sequence: number;
  /** When the server last said that it lives: wall time, ms since 1970. */
  readonly heartbeat: number;
  /** What the store's clock showed then. It differs once somebody has set the system's, or the machine has slept. */
  readonly clock: number;
  /** No version that the server gave out is above it. */
  readonly versionFloor: number;
  readonly state: State;
  /** Which start of the machine it was; empty where the machine has no such id. */
  readonly bootId: string;
}

/** What a page says, each part null where it can't be believed. */
export interface Header {
  readonly headerVersion: number;
  readonly identity: Identity | null;
  readonly note: Note | null;
}

/** Byte of the file where a shard's block begins. */
export function blockStart(index: number, { shardBytes }: Pick<Shape, "shardBytes">): number {
  return HEADER_BYTES + index * Math.ceil(shardBytes / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT;
}

/** Bytes of the whole file. */
export function fileBytesOf(shape: Shape): number {
  return blockStart(shape.shards, shape);
}

/** Whether a file that begins with these bytes is one of ours, of whatever version. */
export function isOurs(page: Buffer): boolean {
  return page.subarray(0, MAGIC.length).equals(MAGIC);
}

/** The page of a file that is being made: the magic first, no note yet. */
export function encodeIdentity(identity: Identity): Buffer {
  const page = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(page);
  page.writeUInt32LE(HEADER_VERSION, AT.HEADER_VERSION);
  page.writeUInt32LE(identity.layoutVersion, AT.LAYOUT_VERSION);
  page.writeUInt32LE(identity.shards, AT.SHARDS);
  page.writeUInt32LE(identity.shardBytes, AT.SHARD_BYTES);
  page.writeUInt32LE(identity.pageBytes, AT.PAGE_BYTES);
  identity.seed.forEach((word, index) => page.writeUInt32LE(word, AT.SEED + 4 * index));
  page.writeDoubleLE(identity.fileBytes, AT.FILE_BYTES);
  page.writeUInt32LE(Bun.hash.crc32(page.subarray(0, AT.CHECKSUM)), AT.CHECKSUM);
  return page;
}

export function encodeNote(note: Note): Buffer {
  const bytes = Buffer.alloc(NOTE_BYTES);
  bytes.writeDoubleLE(note.sequence, IN_NOTE.SEQUENCE);
  bytes.writeDoubleLE(note.heartbeat, IN_NOTE.HEARTBEAT);
  bytes.writeDoubleLE(note.clock, IN_NOTE.CLOCK);
  bytes.writeDoubleLE(note.versionFloor, IN_NOTE.VERSION_FLOOR);
  bytes.writeUInt32LE(note.state, IN_NOTE.STATE);
  bytes.write(note.bootId, IN_NOTE.BOOT_ID, BOOT_ID_BYTES, "latin1");
  bytes.writeUInt32LE(Bun.hash.crc32(bytes.subarray(0, IN_NOTE.CHECKSUM)), IN_NOTE.CHECKSUM);
  return bytes;
}

/** Byte of the file where a note belongs. */
export function notePlace({ sequence }: Pick<Note, "sequence">): number {
  return NOTE_PLACES[sequence % NOTE_PLACES.length]!;
}

/** Reads a page of HEADER_BYTES whose magic is ours; what was cut off a shorter one counts as damaged. */
export function readHeader(bytes: Buffer): Header {
  const page = Buffer.alloc(HEADER_BYTES);
  bytes.copy(page);
  return {
    headerVersion: page.readUInt32LE(AT.HEADER_VERSION),
    identity: readIdentity(page),
    note: readLastNote(page),
  };
}

function readIdentity(page: Buffer): Identity | null {
  if (page.readUInt32LE(AT.CHECKSUM) !== Bun.hash.crc32(page.subarray(0, AT.CHECKSUM))) return null;
  return {
    layoutVersion: page.readUInt32LE(AT.LAYOUT_VERSION),
    shards: page.readUInt32LE(AT.SHARDS),
    shardBytes: page.readUInt32LE(AT.SHARD_BYTES),
    pageBytes: page.readUInt32LE(AT.PAGE_BYTES),
    seed: [page.readUInt32LE(AT.SEED), page.readUInt32LE(AT.SEED + 4)],
    fileBytes: page.readDoubleLE(AT.FILE_BYTES),
  };
}

function readLastNote(page: Buffer): Note | null {
  const notes = NOTE_PLACES.map((place) => readNote(page.subarray(place, place + NOTE_BYTES)));
  const valid = notes.filter((note) => note !== null).sort((a, b) => a.sequence - b.sequence);
  return valid.at(-1) ?? null;
}

function readNote(bytes: Buffer): Note | null {
  if (bytes.readUInt32LE(IN_NOTE.CHECKSUM) !== Bun.hash.crc32(bytes.subarray(0, IN_NOTE.CHECKSUM)))
    return null;
  return {
    sequence: bytes.readDoubleLE(IN_NOTE.SEQUENCE),
    heartbeat: bytes.readDoubleLE(IN_NOTE.HEARTBEAT),
    clock: bytes.readDoubleLE(IN_NOTE.CLOCK),
    versionFloor: bytes.readDoubleLE(IN_NOTE.VERSION_FLOOR),
    state: bytes.readUInt32LE(IN_NOTE.STATE) as State,
    bootId: bytes.toString("latin1", IN_NOTE.BOOT_ID, IN_NOTE.BOOT_ID + BOOT_ID_BYTES).replace(/\0+$/, ""),
  };
}
