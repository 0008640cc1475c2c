/** What a request may contain at most. Every limit is a setting; messages name the flag that sets it. */
import { RequestError } from "./errors";

export interface Limits {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly messageBytesMax: number;
  /** Requests in a JSON array. */
  readonly batchRequestsMax: number;
}

/** keyLen is a u16. */
export const KEY_BYTES_CEILING = 0xffff;

export function keyIsFine(keyBytes: number, limits: Limits): boolean {
  return keyBytes > 0 && keyBytes <= limits.keyBytesMax;
}

/** For a key that is not fine. A key that is too long is 413 over HTTP, an empty one 400. */
export function keyError(keyBytes: number, limits: Limits): RequestError {
  if (keyBytes === 0) return new RequestError("BAD_KEY", "key: must not be empty");
  return new RequestError(
    "BAD_KEY",
    `key: ${keyBytes} bytes, at most ${limits.keyBytesMax} are allowed (--max-key)`,
    413,
  );
}

export function valueError(valueBytes: number, limits: Limits): RequestError {
  return new RequestError(
    "VALUE_TOO_LARGE",
    `value: ${valueBytes} bytes, at most ${limits.valueBytesMax} are allowed (--max-value)`,
  );
}
