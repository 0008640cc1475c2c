/**
 * Whose turn it is on a worker: a session's turn goes on as long as nobody else is served in between, over however many
 * messages. So a session that keeps the worker to itself is noticed, at no cost for all others.
 */
export class Turn {
  private holder: object | null = null;

  /** Takes the turn; false when it was this one's already. */
  take(by: object): boolean {
    if (this.holder === by) return false;
    this.holder = by;
    return true;
  }

  /** All others had the chance to be served. */
  end(): void {
    this.holder = null;
  }
}
