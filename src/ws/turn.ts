/**
 * The event loop's turns, numbered: whatever happens under one number happened in a row, with no other connection served
 * in between that was not ready at the same moment. One for each worker; costs one immediate in each turn that has work.
 */
export class Turn {
  private number = 0;
  private isAsked = false;
  private readonly end = () => {
    this.number++;
    this.isAsked = false;
  };

  /** The number of this turn. */
  now(): number {
    if (!this.isAsked) {
      this.isAsked = true;
      setImmediate(this.end);
    }
    return this.number;
  }
}
