/**
 * Who is told what has changed in the cluster. Each call has done all of this when it returns: raised the generation (Trust), dropped the copy
 * under its shard's lock, and told who watches, in this order.
 *
 * Where that cannot be done, because the shard stays locked, it throws; then the key's slot is distrusted instead, or every slot.
 */
export interface Sink {
  /** @param key as the cluster has it, with the namespace; its bytes are the sink's only until it returns */
  changed(key: Uint8Array): void;
  /** Every key has changed. */
  changedAll(): void;
  /** Changes may have been missed. Copies are void by their stamps; who watches has to be told. */
  missed(): void;
}
