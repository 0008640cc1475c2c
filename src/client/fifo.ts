/** A queue: taking the first item costs the same however many there are. */

/** Places of taken items are removed together, when there are so many and they are most of the array. */
const TAKEN_MAX = 1024;

export class Fifo<T> {
  /** Undefined before `head`, so that what was taken is not held. */
  private items: (T | undefined)[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  first(): T | undefined {
    return this.items[this.head];
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** Takes the first away. */
  shift(): void {
    this.items[this.head++] = undefined;
    if (this.head > TAKEN_MAX && this.head * 2 > this.items.length) this.replace(this.toArray());
  }

  replace(items: T[]): void {
    this.items = items;
    this.head = 0;
  }

  toArray(): T[] {
    return this.items.slice(this.head) as T[];
  }
}
