/**
 * The file DIR/breadbox.cache as the system has it: opened and locked for as long as the server lives, read, written,
 * reserved on its disk and mapped. What its bytes mean is none of its business.
 *
 * Each method changes the file by one call of the system at most, and a process that is killed has made a call or has
 * not. So the order of the calls, in kept.ts, is all that decides what the next server finds.
 */
import { read } from "bun:ffi";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { getSystemErrorMap } from "node:util";
import { openLibc } from "../system/libc";
import { sizeText } from "../system/words";

/** No server may start with this directory. The message is one line for the operator, with what to do. */
export class KeptRefusal extends Error {
  override name = "KeptRefusal";
}

/** The cache cannot be kept here, for the reason in the message. */
export class KeptUnusable extends Error {
  override name = "KeptUnusable";
}

const FILE_NAME = "breadbox.cache";
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
const MODE_BITS = 0o7777;
/** The unit of `blocks` in a file's status. */
const STATUS_BLOCK_BYTES = 512;
/** Signals that may interrupt one reservation. */
const INTERRUPTIONS_MAX = 100;

/** Linux's, from sys/file.h, asm-generic/mman.h and errno.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = -1;
const EINTR = 4;
const EWOULDBLOCK = 11;

/** A symbolic link, a device or a pipe in the file's place is not followed, written to or waited for. (O_CLOEXEC is always set.) */
const OPEN_FLAGS =
  fs.constants.O_RDWR |
  fs.constants.O_CREAT |
  fs.constants.O_NOFOLLOW |
  fs.constants.O_NONBLOCK |
  fs.constants.O_NOCTTY;

export class CacheFile {
  private constructor(
    readonly path: string,
    private readonly file: number,
    private readonly libc: Libc,
  ) {}

  /**
   * Opens the file, makes it and its directory where they are missing, and locks it until it is closed.
   * Throws KeptRefusal where another server has it, or where it is not safely ours; KeptUnusable where it can't be had.
   */
  static open(directory: string): CacheFile {
    if (process.platform !== "linux") throw new KeptRefusal("--data-dir works on Linux only");
    ownDirectory(directory);
    const path = join(directory, FILE_NAME);
    const file = openOwn(path);
    try {
      const opened = new CacheFile(path, file, openCalls());
      opened.lock();
      return opened;
    } catch (error) {
      fs.closeSync(file);
      throw error;
    }
  }

  get bytes(): number {
    return fs.fstatSync(this.file).size;
  }

  /** The first bytes, as many as there are. */
  read(bytesMax: number): Buffer {
    const bytes = Buffer.alloc(bytesMax);
    return bytes.subarray(0, fs.readSync(this.file, bytes, 0, bytesMax, 0));
  }

  /** Within one page: then it is written whole or not at all, unless the machine loses power. */
  write(bytes: Buffer, at: number): void {
    const written = fs.writeSync(this.file, bytes, 0, bytes.length, at);
    if (written !== bytes.length) throw new KeptUnusable(`${this.path} cannot be written: no room`);
  }

  /** Its owner alone may read it, whatever somebody has set. */
  makePrivate(): void {
    if ((fs.fstatSync(this.file).mode & MODE_BITS) !== FILE_MODE) fs.fchmodSync(this.file, FILE_MODE);
  }

  /** Gives up what lies behind, and its place on the disk. */
  truncate(bytes: number): void {
    fs.ftruncateSync(this.file, bytes);
  }

  /** Waits until everything is on the disk, what was written through the mapping included. */
  sync(): void {
    // Linux's msync is the same call.
    fs.fsyncSync(this.file);
  }

  /**
   * Makes the file so long, with a place on its disk for every byte: a store to a mapped page that finds none would end
   * the process (SIGBUS). A file that has all its places is left alone: a file system in memory would fill each page
   * with zeros that was not written to so far.
   */
  reserve(bytes: number): void {
    const { size, blocks } = fs.fstatSync(this.file);
    if (size === bytes && blocks * STATUS_BLOCK_BYTES >= bytes) return;
    let problem = EINTR;
    for (let i = 0; problem === EINTR && i < INTERRUPTIONS_MAX; i++)
      problem = this.libc.posix_fallocate(this.file, 0, bytes);
    if (problem === 0) return;
    const what = `${dirname(this.path)} has no room for the ${sizeText(bytes)} of the cache`;
    throw new KeptUnusable(`${what}: ${textOf(-problem)}`);
  }

  /** Throws KeptUnusable where the next server would not find this file under its name. */
  checkPlace(): void {
    const own = fs.fstatSync(this.file);
    const found = fs.lstatSync(this.path, { throwIfNoEntry: false });
    if (found?.ino !== own.ino || found.dev !== own.dev)
      throw new KeptUnusable(
        `${this.path} was removed or replaced while the server runs; it will begin cold next time`,
      );
  }

  /** The address at which the file's bytes are this process's memory, until it ends. */
  map(bytes: number): number {
    const address = Number(this.libc.mmap(null, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, this.file, 0));
    if (address !== MAP_FAILED) return address;
    throw new KeptUnusable(`${this.path} cannot be mapped: ${textOf(-this.libc.errno())}`);
  }

  /**
   * Lets another server have it. The mapping stays, since threads that have not ended may look at it; it would also keep
   * the lock, which belongs to whatever refers to the opened file.
   */
  close(): void {
    this.libc.flock(this.file, LOCK_UN);
    fs.closeSync(this.file);
  }

  private lock(): void {
    if (this.libc.flock(this.file, LOCK_EX | LOCK_NB) === 0) return;
    const problem = this.libc.errno();
    if (problem === EWOULDBLOCK)
      throw new KeptRefusal(
        `${this.path} is in use by another server; stop that one or choose another --data-dir`,
      );
    throw new KeptUnusable(`${this.path} cannot be locked: ${textOf(-problem)}`);
  }
}

type Libc = ReturnType<typeof openCalls>;

function openCalls() {
  const { __errno_location, ...calls } = openLibc({
    flock: { args: ["i32", "i32"], returns: "i32" },
    posix_fallocate: { args: ["i32", "i64", "i64"], returns: "i32" },
    mmap: { args: ["ptr", "usize", "i32", "i32", "i32", "i64"], returns: "i64" },
    __errno_location: { args: [], returns: "ptr" },
  });
  // The place is the same for all calls of a thread. It is asked for before they are made, since asking is a call, too.
  const place = __errno_location()!;
  return { ...calls, errno: () => read.i32(place) };
}

/** Makes the directory where it is missing, but none above it: a mistyped path is to be noticed. */
function ownDirectory(path: string): void {
  try {
    fs.mkdirSync(path, { mode: DIRECTORY_MODE });
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw unusable(`${path} cannot be made`, error);
  }
  const status = statusOf(path, fs.statSync);
  if (!status?.isDirectory()) throw refusal(path, "is not a directory");
  // What root has made for us, such as a mounted volume, is as good as our own.
  if (status.uid !== 0) refuseForeign(path, status);
}

function openOwn(path: string): number {
  const found = statusOf(path, fs.lstatSync);
  if (found !== undefined) refuseUnsafe(path, found);
  let file: number;
  try {
    file = fs.openSync(path, OPEN_FLAGS, FILE_MODE);
  } catch (error) {
    throw unusable(`${path} cannot be opened`, error);
  }
  try {
    // Once more: another file may have come to its place since.
    refuseUnsafe(path, fs.fstatSync(file));
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
  return file;
}

function statusOf(path: string, status: typeof fs.statSync | typeof fs.lstatSync): fs.Stats | undefined {
  try {
    return status(path, { throwIfNoEntry: false });
  } catch (error) {
    throw unusable(`${path} cannot be looked at`, error);
  }
}

function refuseUnsafe(path: string, status: fs.Stats): void {
  if (!status.isFile()) throw refusal(path, "is not a regular file");
  refuseForeign(path, status);
}

function refuseForeign(path: string, { uid }: fs.Stats): void {
  if (uid !== process.geteuid!()) throw refusal(path, `belongs to another user (${uid})`);
}

/** With what the operator can do about it. */
export function refusal(path: string, problem: string): KeptRefusal {
  return new KeptRefusal(`${path} ${problem}; choose another --data-dir or remove it`);
}

/** Of an error of node:fs; one that is our own already stays as it is. */
export function unusable(what: string, error: unknown): Error {
  const { errno } = error as { errno?: number };
  if (errno === undefined) return error as Error;
  return new KeptUnusable(`${what}: ${textOf(errno)}`);
}

/** `no space left on device (ENOSPC)`. @param problem the system's number, negative, as node has it */
function textOf(problem: number): string {
  const [name, text] = getSystemErrorMap().get(problem) ?? [String(problem), "unknown error"];
  return `${text} (${name})`;
}
