/**
 * The sizes that depend on each other: memory, its shards, the largest key, value and message, and what connections may
 * hold. What was not given is derived so that it fits what was; what was given and contradicts is refused with the numbers.
 */
import type { Machine } from "../system/machine";
import { SHARD_BYTES_MAX, SHARD_BYTES_MIN, valueBytesMaxFor } from "../store/layout";
import { sizeText } from "../system/words";
import type { Given } from "./flags";
import { UsageError } from "./parse";
import { GB, MB } from "./values";

export interface Sizes {
  readonly memoryBytes: number;
  readonly shards: number;
  readonly shardBytes: number;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly messageBytesMax: number;
  /** Bytes that one worker's connections may hold together. */
  readonly bufferedBytesMax: number;
}

const MEMORY_DEFAULT = GB;
const SHARD_BYTES_WANTED = 32 * MB;
const SHARDS_WANTED_MAX = 64;
const PAGE_BYTES = 4096;
const KEY_BYTES_DEFAULT = 1024;
const VALUE_BYTES_DEFAULT = 8 * MB;
const MESSAGE_BYTES_DEFAULT = 16 * MB;
const BUFFERED_BYTES_DEFAULT = 256 * MB;
/** Largest messages that all fit into the default of what connections may hold. */
const MESSAGES_BUFFERED = 2;
/** The longest head of a request: op, flags, lengths, ttl, version. */
const REQUEST_HEAD_BYTES_MAX = 24;

export function settleSizes(given: Given, machine: Machine, workers: number): Sizes {
  const memoryBytes = memoryOf(given, machine);
  const { shards, shardBytes } = shardsOf(given, memoryBytes);
  const keyBytesMax = given["max-key"] ?? KEY_BYTES_DEFAULT;
  const overhead = keyBytesMax + REQUEST_HEAD_BYTES_MAX;
  const message = messageCeiling(given, keyBytesMax, overhead);
  const shardAllows = valueBytesMaxFor(shardBytes);
  const valueBytesMax =
    given["max-value"] ?? Math.min(VALUE_BYTES_DEFAULT, shardAllows, message.bytes - overhead);
  if (valueBytesMax > shardAllows) throw tooLargeForShard(valueBytesMax, memoryBytes, shards, shardAllows);
  if (valueBytesMax > message.bytes - overhead)
    throw new UsageError(
      `--max-value ${sizeText(valueBytesMax)} does not fit ${message.flag} ${sizeText(message.bytes)}, which takes values of at most ${message.bytes - overhead} bytes`,
    );
  const messageBytesMax =
    given["max-message"] ??
    Math.min(message.bytes, Math.max(MESSAGE_BYTES_DEFAULT, valueBytesMax + overhead));
  const bufferedBytesMax =
    given["max-buffered"] ?? bufferedFor(messageBytesMax, machine.memoryBytes - memoryBytes, workers);
  return { memoryBytes, shards, shardBytes, keyBytesMax, valueBytesMax, messageBytesMax, bufferedBytesMax };
}

function memoryOf({ memory }: Given, machine: Machine): number {
  if (memory === undefined) return Math.min(MEMORY_DEFAULT, Math.floor(machine.memoryBytes / 2));
  if (typeof memory !== "number") return Math.floor(machine.memoryBytes * memory.share);
  if (memory > machine.memoryBytes)
    throw new UsageError(
      `--memory ${sizeText(memory)} is more than the ${sizeText(machine.memoryBytes)} that this machine or its cgroup allows`,
    );
  return memory;
}

function shardsOf(given: Given, memoryBytes: number): { shards: number; shardBytes: number } {
  const shards = given.shards ?? shardsFor(memoryBytes, given["max-value"]);
  const shardBytes = shardBytesOf(memoryBytes, shards);
  if (shardBytes < SHARD_BYTES_MIN)
    throw new UsageError(
      `--memory ${sizeText(memoryBytes)} in --shards ${shards} leaves ${sizeText(shardBytes)} a shard; at least ${sizeText(SHARD_BYTES_MIN)} are needed: fewer shards or more memory`,
    );
  if (shardBytes > SHARD_BYTES_MAX)
    throw new UsageError(
      `--memory ${sizeText(memoryBytes)} in --shards ${shards} makes ${sizeText(shardBytes)} a shard; at most ${sizeText(SHARD_BYTES_MAX)} are possible: more shards`,
    );
  return { shards, shardBytes };
}

/** A shard of 2 GiB is a little more than there can be: then that little is not used. */
function shardBytesOf(memoryBytes: number, shards: number): number {
  const bytes = Math.floor(memoryBytes / shards / PAGE_BYTES) * PAGE_BYTES;
  return bytes - MB <= SHARD_BYTES_MAX ? Math.min(bytes, SHARD_BYTES_MAX) : bytes;
}

function tooLargeForShard(
  valueBytesMax: number,
  memoryBytes: number,
  shards: number,
  shardAllows: number,
): UsageError {
  const ceiling = valueBytesMaxFor(SHARD_BYTES_MAX);
  const mend =
    valueBytesMax > ceiling
      ? `no shard takes more than ${sizeText(ceiling)}`
      : `--memory ${sizeText(4 * valueBytesMax)} in --shards 1 would do`;
  return new UsageError(
    `--max-value ${sizeText(valueBytesMax)} is more than a quarter of a shard: --memory ${sizeText(memoryBytes)} in --shards ${shards} takes values of at most ${sizeText(shardAllows)}; ${mend}`,
  );
}

/** Shards of about 32 MiB, so that locks are many and tables small, as long as the largest value still fits one. */
function shardsFor(memoryBytes: number, valueBytesMax: number | undefined): number {
  const wanted = Math.min(SHARDS_WANTED_MAX, memoryBytes / SHARD_BYTES_WANTED);
  let shards = 2 ** Math.max(0, Math.floor(Math.log2(wanted)));
  while (memoryBytes / shards > SHARD_BYTES_MAX / 2) shards *= 2;
  while (
    shards > 1 &&
    valueBytesMax !== undefined &&
    valueBytesMaxFor(shardBytesOf(memoryBytes, shards)) < valueBytesMax
  ) {
    if (shardBytesOf(memoryBytes, shards / 2) > SHARD_BYTES_MAX) break;
    shards /= 2;
  }
  return shards;
}

/** The largest message that was asked for, by its own flag or by what connections may hold, since one has to hold a whole one. */
function messageCeiling(given: Given, keyBytesMax: number, overhead: number) {
  const { "max-message": message, "max-buffered": buffered } = given;
  if (message !== undefined && buffered !== undefined && message > buffered)
    throw new UsageError(
      `--max-buffered ${sizeText(buffered)} is less than one message of --max-message ${sizeText(message)}: whoever sends one would be disconnected`,
    );
  const bytes = message ?? buffered ?? Infinity;
  const flag = message === undefined ? "--max-buffered" : "--max-message";
  if (bytes <= overhead)
    throw new UsageError(
      `${flag} ${sizeText(bytes)} is too small for a key of ${keyBytesMax} bytes (--max-key); at least ${overhead + 1} bytes`,
    );
  return { flag, bytes };
}

/** At most half of the memory that the store leaves goes to what connections hold, but always room for one message. */
function bufferedFor(messageBytesMax: number, leftBytes: number, workers: number): number {
  const wanted = Math.max(BUFFERED_BYTES_DEFAULT, MESSAGES_BUFFERED * messageBytesMax);
  return Math.max(messageBytesMax, Math.min(wanted, Math.floor(leftBytes / 2 / workers)));
}
