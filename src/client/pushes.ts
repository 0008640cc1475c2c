/** What the server tells by itself, in messages that answer nothing. */
import { Push, PUSH_MIN } from "../protocol/wire";
import { type Reply, ReplyReader, textOf } from "./codec";
import { ProtocolFault } from "./errors";

/** Who is told, in their order, where they are read. */
export interface Pushes {
  /** Copies of lower versions are old; version 0: every copy is. */
  changed(key: string, version: number): void;
  /** Every copy under the prefix is old, and no single key is watched any more. */
  reset(prefix: string): void;
  /** The reply that a PENDING promised. */
  filled(ticket: number, reply: Reply): void;
}

export function isPush(data: ArrayBuffer | string): data is ArrayBuffer {
  return typeof data !== "string" && data.byteLength > 0 && new Uint8Array(data)[0]! >= PUSH_MIN;
}

/** Throws a ProtocolFault for what is no push. Where a push of an unknown kind ends is unknown, so the rest is ignored. */
export function readPushes(message: ArrayBuffer, to: Pushes): void {
  const reader = new ReplyReader(message);
  while (!reader.isAtEnd) {
    const kind = reader.uint(1);
    if (kind === Push.CHANGED) readChanges(reader, to);
    else if (kind === Push.RESET) {
      reader.take(1);
      to.reset(wholeCharacters(textOf(reader.take(reader.uint(2)))));
    } else if (kind === Push.FILLED) {
      const ticket = reader.uint(4);
      const reply = reader.next();
      if (reply === null) throw new ProtocolFault("a push ends before its reply");
      to.filled(ticket, reply);
    } else if (kind >= PUSH_MIN) return;
    else throw new ProtocolFault(`a push of unknown kind ${kind}`);
  }
}

function readChanges(reader: ReplyReader, to: Pushes): void {
  for (let count = reader.uint(2); count > 0; count--) {
    const version = reader.uint(8);
    to.changed(textOf(reader.take(reader.uint(2))), version);
  }
}

/** A prefix that others clear may end within a character. What comes before that character is a prefix of the same keys. */
function wholeCharacters(prefix: string): string {
  return prefix.split("\ufffd", 1)[0]!;
}
