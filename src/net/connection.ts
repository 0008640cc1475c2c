/**
 * One accepted connection, plain or TLS. Who reads from it is a stream: HTTP's at first, a WebSocket's after an upgrade.
 *
 * Invariant: what is written leaves whole and in order. What the kernel does not take at once waits here; the stream
 * sees that in `isBlocked`, stops, and is told when all has been taken.
 *
 *   write ─▶ outbox ─ event's end ─▶ kernel ─┬─ takes all
 *                                            └─ takes a part: the rest waits in `unsent` ─ drain ─▶ kernel … stream.drained
 */
import type { Socket } from "bun";
import { type Outbox, PIECE_BYTES_MAX } from "./outbox";

/** Reads what a connection brings. Its methods are called within an event of the connection: what they write is gathered. */
export interface Stream {
  /** Bytes came in; they are the stream's to keep. */
  receive(bytes: Buffer): void;
  /** The kernel did not take all that was written. */
  blocked(): void;
  /** It has taken all that waited. */
  drained(): void;
  /** The peer sends no more, but may still read. */
  peerEnded(): void;
  /** The connection is gone. */
  gone(): void;
}

export class Connection {
  stream!: Stream;
  isGone = false;
  private unsent: Buffer[] | null = null;
  /** Bytes that wait for the kernel. */
  unsentBytes = 0;
  /** Nothing more will be written: ours is said to be done when all has been taken. */
  private ending = false;
  /** It is to be closed altogether. */
  private closing = false;
  /** The peer sends no more. */
  private peerIsDone = false;

  constructor(
    private readonly socket: Socket<Connection>,
    private readonly outbox: Outbox,
  ) {}

  get isBlocked(): boolean {
    return this.unsentBytes > 0;
  }

  get remoteAddress(): string {
    return this.socket.remoteAddress;
  }

  /** Runs something that may write, as one event. */
  during(work: () => void): void {
    const began = this.begin();
    try {
      work();
    } finally {
      if (began) this.finish();
    }
  }

  /** Bytes came in. */
  received(bytes: Buffer): void {
    if (this.ending) return;
    this.begin();
    try {
      this.stream.receive(bytes);
    } finally {
      this.finish();
    }
  }

  /** The kernel has room again. */
  writable(): void {
    if (!this.isBlocked || !this.sendUnsent()) return;
    if (this.ending) this.sayEnd();
    else this.during(() => this.stream.drained());
  }

  /** The peer sends no more. */
  peerEnded(): void {
    this.peerIsDone = true;
    if (this.ending && !this.isBlocked) this.sayEnd();
    else if (!this.ending) this.during(() => this.stream.peerEnded());
  }

  /** The socket is closed. */
  closed(): void {
    this.isGone = true;
    this.drop();
    this.stream.gone();
  }

  /** Begins an event; false within one. `finish` has to follow where it was true. */
  begin(): boolean {
    const { holder } = this.outbox;
    if (holder === this) return false;
    if (holder !== null) throw new Error("an event of one connection within another's");
    this.outbox.holder = this;
    return true;
  }

  /** Ends an event: what was written goes out. */
  finish(): void {
    this.flush();
    this.outbox.holder = null;
  }

  /** The outbox with room for a piece of at most PIECE_BYTES_MAX, to be written at its `length`. Within an event. */
  room(byteCount: number): Outbox {
    if (this.outbox.holder !== this) throw new Error("written outside of an event");
    if (!this.outbox.hasRoomFor(byteCount)) this.flush();
    return this.outbox;
  }

  /** Writes bytes[start, end); they may be used again afterwards. Within an event. */
  write(bytes: Buffer, start: number, end: number): void {
    if (end - start > PIECE_BYTES_MAX) {
      this.flush();
      return this.send(bytes, start, end);
    }
    const outbox = this.room(end - start);
    outbox.length += bytes.copy(outbox.bytes, outbox.length, start, end);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /**
   * Says that nothing follows, once all is sent, and waits for the peer's end. What still comes in is not looked at, but taken:
   * if it were not, the kernel would reset the connection, and what the peer has not read yet would be lost.
   */
  end(): void {
    if (this.ending || this.isGone) return;
    if (this.outbox.holder === this) this.flush();
    this.ending = true;
    if (!this.isBlocked) this.sayEnd();
  }

  /** Ends it for good once all is sent; what the kernel has taken still arrives. Called again, it waits no longer. */
  close(): void {
    if (this.closing) return this.cut();
    if (this.outbox.holder === this) this.flush();
    this.ending = this.closing = true;
    if (!this.isBlocked && !this.isGone) this.socket.end();
  }

  /** Waits for nothing more: what the kernel has taken still arrives, unless the peer left us waiting to read it. */
  endNow(): void {
    if (this.isBlocked) this.cut();
    else this.close();
  }

  private sayEnd(): void {
    if (this.peerIsDone || this.closing) this.socket.end();
    else this.socket.shutdown();
  }

  /** Ends it at once; what waits is lost, here and in the kernel. */
  cut(): void {
    if (!this.isGone) this.socket.terminate();
  }

  private flush(): void {
    const { outbox } = this;
    const { length } = outbox;
    if (length === 0) return;
    outbox.length = 0;
    this.send(outbox.bytes, 0, length);
  }

  private send(bytes: Buffer, start: number, end: number): void {
    if (this.isGone || this.ending) return;
    let from = start;
    if (!this.isBlocked) {
      const taken = this.socket.write(bytes, start, end - start);
      if (taken === end - start) return;
      if (taken < 0) return this.cut();
      from += taken;
    }
    const wasBlocked = this.isBlocked;
    (this.unsent ??= []).push(Buffer.from(bytes.subarray(from, end)));
    this.unsentBytes += end - from;
    if (!wasBlocked) this.stream.blocked();
  }

  /** False while some is left. */
  private sendUnsent(): boolean {
    const unsent = this.unsent!;
    while (unsent.length > 0) {
      const first = unsent[0]!;
      const taken = this.socket.write(first, 0, first.length);
      if (taken < 0) {
        this.cut();
        return false;
      }
      this.unsentBytes -= taken;
      if (taken < first.length) {
        unsent[0] = first.subarray(taken);
        return false;
      }
      unsent.shift();
    }
    this.unsent = null;
    return true;
  }

  private drop(): void {
    this.unsent = null;
    this.unsentBytes = 0;
  }
}
