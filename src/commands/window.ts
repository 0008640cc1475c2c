/**
 * The next requests of one message: decoded together, and their keys looked up together. Hash and slot of a key belong to its
 * row, never to the address of its bytes, since another key lies at that address in the next message.
 *
 * Invariant: it is open only while BinaryCommands.run works on the message, and closed however that ends. So the bytes do
 * not change under it, and nothing of it is left when somebody else's request comes.
 */
import { type Message, RequestRows, ROWS_MAX } from "../protocol/request";
import type { KeysAhead } from "../store/ahead";
import type { HashedKey } from "../store/hash";
import type { Store } from "../store/store";

export class Window {
  readonly rows = new RequestRows();
  private readonly ahead: KeysAhead;

  constructor(store: Store) {
    this.ahead = store.newKeysAhead(ROWS_MAX);
  }

  /** Opens at the message's next requests. */
  open(message: Message, now: number): void {
    this.rows.decode(message);
    this.ahead.look(this.rows, now);
  }

  close(): void {
    this.ahead.forget();
    this.rows.close();
  }

  /** Points `key` at the key of a row. */
  aim(key: HashedKey, row: number): void {
    this.ahead.aim(key, row);
  }

  /** See KeysAhead.read. */
  read(row: number, target: Buffer, at: number, bytesMax: number): number {
    return this.ahead.read(row, target, at, bytesMax);
  }
}
