import type { Address } from "./address";

/** Where the store of record is, and what is promised of the copies. */
export interface OriginSettings {
  readonly address: Address;
  /** Certificates to trust instead of the system's. */
  readonly caFile: string | undefined;
  /** Its keys begin with this and a colon. */
  readonly namespace: string;
  /** How long it may take for an answer. */
  readonly timeoutMs: number;
  /** No read gives a value that is older. */
  readonly maxAgeMs: number;
  /** How much older it may be when the origin does not answer; 0 for not at all. */
  readonly staleMaxMs: number;
}
