/**
 * What came first goes first, at the same cost for each, however many there are.
 *
 * @internal
 */

/** @internal */
export class Fifo<A> {
  private items: Array<A> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  get first(): A | undefined {
    return this.items[this.head]
  }

  push(item: A): void {
    this.items.push(item)
  }

  /** Up to so many, oldest first. */
  take(count: number): ReadonlyArray<A> {
    const taken = this.items.slice(this.head, this.head + count)
    this.head += taken.length
    // Moved when at least as many have gone as are left: each is moved once for one that has gone.
    if (this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return taken
  }

  all(): ReadonlyArray<A> {
    return this.items.slice(this.head)
  }
}
