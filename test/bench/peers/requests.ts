/**
 * The requests of a run, made beforehand: batches of bytes to send, and which key and kind each request has, to check its
 * answer by. All peers get the same picks from the same seed.
 */
import { keyPicker, seededRandom } from "../../../src/cli/bench/pick";
import type { Protocol } from "./protocols/protocol";
import type { Values } from "./values";

export const ZIPF = 0.99;
const SEED = 1;
/** As many as keyPicker has picks, so that batches repeat when the picks do. */
const REQUESTS = 1 << 18;
/** Puts in a message while everything is stored first. */
const PRELOAD_BATCH = 256;

export interface Requests {
  indices: Uint32Array;
  /** 1 where the request is a get. */
  gets: Uint8Array;
  batchSize: number;
  /** batches[n] holds requests n * batchSize and on. */
  batches: Buffer[];
}

/** The load: zipf-distributed keys, `getShare` of the requests gets. */
export function loadRequests(
  protocol: Protocol,
  values: Values,
  batchSize: number,
  getShare: number,
): Requests {
  const pick = keyPicker(values.keys, ZIPF, SEED);
  const random = seededRandom(SEED);
  const indices = new Uint32Array(REQUESTS);
  const gets = new Uint8Array(REQUESTS);
  for (let i = 0; i < REQUESTS; i++) {
    indices[i] = pick();
    gets[i] = random() < getShare ? 1 : 0;
  }
  return encodeBatches(protocol, values, indices, gets, batchSize);
}

/** A put of every key. */
export function preloadRequests(protocol: Protocol, values: Values): Requests {
  const indices = Uint32Array.from({ length: values.keys }, (_, index) => index);
  const gets = new Uint8Array(values.keys);
  return encodeBatches(protocol, values, indices, gets, protocol.pipelines ? PRELOAD_BATCH : 1);
}

function encodeBatches(
  protocol: Protocol,
  values: Values,
  indices: Uint32Array,
  gets: Uint8Array,
  batchSize: number,
): Requests {
  const batches: Buffer[] = [];
  const room = Buffer.alloc(protocol.batchBytesExtra + batchSize * protocol.requestBytesMax);
  for (let from = 0; from < indices.length; from += batchSize) {
    let end = protocol.batchBytesExtra;
    for (let i = from; i < Math.min(from + batchSize, indices.length); i++) {
      const write = gets[i] === 1 ? protocol.writeGet : protocol.writePut;
      end = write(room, end, indices[i]!, values);
    }
    batches.push(Buffer.from(protocol.closeBatch?.(room, end) ?? room.subarray(0, end)));
  }
  return { indices, gets, batchSize, batches };
}
