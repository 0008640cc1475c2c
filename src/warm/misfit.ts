/**
 * Whether the cache that was found goes on, by its header alone; and if not, why, in words for the operator.
 *
 * | the last server    | since then          | the cache                                                       |
 * | ------------------ | ------------------- | --------------------------------------------------------------- |
 * | ended, and said so | whatever            | goes on                                                         |
 * | was killed         | the machine runs on | goes on: the kernel has all that it had written                 |
 * | was killed         | another start of it | is dropped: what a disk has then is of different moments        |
 * | made the file only | whatever            | is dropped: there is none                                       |
 *
 * Beside that, the settings have to be the same, and the last server's last heartbeat must not be too long ago.
 */
import { timeText } from "../system/duration";
import { sizeText } from "../system/words";
import {
  type Header,
  HEADER_BYTES,
  HEADER_VERSION,
  type Identity,
  type Note,
  type Shape,
  State,
} from "./header";

/** A heartbeat that is this much later than now was written before the clock was set back. */
const CLOCK_SLACK_MS = 5000;

/** What is the case now. */
export interface Present {
  readonly shape: Shape;
  /** Bytes that the file has. */
  readonly fileBytes: number;
  /** Of this start of the machine; empty where it has none. */
  readonly bootId: string;
  /** Wall time, ms. */
  readonly now: number;
  /** How long a server may have been gone. */
  readonly maxAgeMs: number;
}

/** Null where the cache goes on; then the header has an identity and a note. */
export function misfit({ headerVersion, identity, note }: Header, present: Present): string | null {
  if (present.fileBytes < HEADER_BYTES) return "its header is cut short";
  if (headerVersion !== HEADER_VERSION) return otherVersion("header", headerVersion, HEADER_VERSION);
  if (identity === null || note === null) return "its header is damaged";
  return (
    misfitOfShape(identity, present.shape) ??
    misfitOfEnd(note, present) ??
    misfitOfLength(identity, present) ??
    misfitOfAge(note, present)
  );
}

function misfitOfShape(was: Shape, is: Shape): string | null {
  if (was.layoutVersion !== is.layoutVersion)
    return otherVersion("layout", was.layoutVersion, is.layoutVersion);
  if (was.shards !== is.shards) return otherSetting("--shards", String(was.shards), String(is.shards));
  if (was.shardBytes !== is.shardBytes) return otherMemory(was, is);
  if (was.pageBytes === is.pageBytes) return null;
  return `it was made with pages of ${was.pageBytes} bytes, now they have ${is.pageBytes}`;
}

function misfitOfEnd({ state, bootId: was }: Note, { bootId: is }: Present): string | null {
  if (state === State.CLEAN) return null;
  if (state !== State.RUNNING) return "the server that made it ended before it served";
  if (is === "")
    return "its server was killed, and this machine has no boot id that tells whether it was restarted since";
  return was === is ? null : "the machine was restarted while the server ran";
}

function misfitOfLength({ fileBytes: was }: Identity, { fileBytes: is }: Present): string | null {
  return was === is ? null : `it has ${is} bytes instead of ${was}`;
}

function misfitOfAge({ heartbeat }: Note, { now, maxAgeMs }: Present): string | null {
  const awayMs = now - heartbeat;
  if (awayMs < -CLOCK_SLACK_MS) return `the clock went back by ${timeText(-awayMs)}`;
  if (awayMs <= maxAgeMs) return null;
  return `it was down for ${timeText(awayMs)}, longer than --data-max-age ${timeText(maxAgeMs)}`;
}

function otherVersion(what: string, was: number, is: number): string {
  return `it was written by another version of Breadbox (${what} ${was}, now ${is})`;
}

function otherSetting(flag: string, was: string, is: string): string {
  return `it was made with ${flag} ${was}, now it is ${is}`;
}

/** To the byte where the sizes would read the same: a share of the machine's memory changes by a little now and then. */
function otherMemory(was: Shape, is: Shape): string {
  const [before, now] = [was.shards * was.shardBytes, is.shards * is.shardBytes];
  const text = sizeText(before) === sizeText(now) ? String : sizeText;
  return otherSetting("--memory", text(before), text(now));
}
