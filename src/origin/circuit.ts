/**
 * Whether a node is asked at all. After repeated failures nobody is made to wait for it: calls fail at once until a probe is answered.
 *
 *   CLOSED ── FAILURES_MAX in a row ──▶ OPEN ── PROBE_AFTER_MS ──▶ HALF_OPEN
 *     ▲                                 │ ▲                           │  │
 *     └──────── proven ─────────────────┴─┼────────── proven ─────────┘  │
 *                                         └────────── failed ────────────┘
 *
 * An answer in CLOSED forgets the failures before it.
 */

export const CircuitState = { CLOSED: "closed", OPEN: "open", HALF_OPEN: "half-open" } as const;
export type CircuitState = (typeof CircuitState)[keyof typeof CircuitState];

export const FAILURES_MAX = 3;
export const PROBE_AFTER_MS = 250;

export class Circuit {
  state: CircuitState = CircuitState.CLOSED;
  /** How often it has opened. */
  openings = 0;
  private failures = 0;
  private openedAt = -Infinity;

  /** @param clock ms, monotonic */
  constructor(private readonly clock: () => number) {}

  get isClosed(): boolean {
    return this.state === CircuitState.CLOSED;
  }

  /** A call was answered in time. Counts in CLOSED alone: elsewhere it was sent before the circuit opened. */
  answered(): void {
    if (this.state === CircuitState.CLOSED) this.failures = 0;
  }

  /** The node has answered a probe, or a new connection. */
  proven(): void {
    this.state = CircuitState.CLOSED;
    this.failures = 0;
  }

  /** A call has failed because of the node; true where the circuit opens. */
  failed(): boolean {
    if (this.state === CircuitState.OPEN) return false;
    this.failures++;
    if (this.state === CircuitState.CLOSED && this.failures < FAILURES_MAX) return false;
    if (this.state === CircuitState.CLOSED) this.openings++;
    this.state = CircuitState.OPEN;
    this.openedAt = this.clock();
    return true;
  }

  /** Whether somebody is to probe now; who gets a true does, and calls proven or failed. */
  takeProbe(): boolean {
    if (this.state !== CircuitState.OPEN || this.clock() - this.openedAt < PROBE_AFTER_MS) return false;
    this.state = CircuitState.HALF_OPEN;
    return true;
  }

  /** Throws where the state contradicts itself. */
  invariants(): void {
    const wasOpened = this.openedAt > -Infinity;
    const fits =
      this.state === CircuitState.CLOSED
        ? this.failures < FAILURES_MAX
        : this.failures >= FAILURES_MAX && wasOpened && this.openings > 0;
    if (!fits) throw new Error(`a circuit is ${this.state} after ${this.failures} failures`);
  }
}
