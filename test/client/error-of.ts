/** The CacheError that a promise ends with; anything else is the test's failure. */
import { CacheError } from "../../src/client/client";

export async function errorOf(promise: Promise<unknown>): Promise<CacheError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CacheError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
