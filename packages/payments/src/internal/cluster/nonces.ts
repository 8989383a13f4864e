/**
 * Whether an activity runs for the first time: each is given a name of its own by the one before, kept where it ran, and
 * who finds it there and takes it is the first. In another process, or the second time, it is not there.
 *
 * @internal
 */
const keptMax = 100_000

/** @internal */
export class Nonces {
  readonly prefix: string
  private readonly kept = new Set<string>()
  private count = 0

  /** `prefix`: no other process has it. */
  constructor(prefix: string) {
    this.prefix = prefix
  }

  issue(): string {
    // The oldest is forgotten: whoever comes with it is taken for a second one, and looks first.
    for (const oldest of this.kept) {
      if (this.kept.size < keptMax) break
      this.kept.delete(oldest)
    }
    const nonce = `${this.prefix}.${this.count++}`
    this.kept.add(nonce)
    return nonce
  }

  /** Whether it is the first time. */
  take(nonce: string): boolean {
    return this.kept.delete(nonce)
  }
}
