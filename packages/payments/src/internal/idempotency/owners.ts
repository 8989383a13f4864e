/**
 * Under which name a process claims.
 *
 * @internal
 */
import type { Entry } from "./entry.ts"

const ghostsMax = 10_000

/** @internal A new name for each claim, but for one that got no answer: the next claim of its record is made under it. */
export class Owners {
  private readonly engineId: string
  private readonly ghosts = new Map<string, { readonly owner: string; readonly fingerprint: string }>()
  private claims = 0

  constructor(engineId: string) {
    this.engineId = engineId
  }

  next(id: string, fingerprint: string): string {
    const ghost = this.ghosts.size === 0 ? undefined : this.ghosts.get(id)
    if (ghost?.fingerprint !== fingerprint) return `${this.engineId}.${this.claims++}`
    this.ghosts.delete(id)
    return ghost.owner
  }

  haunt(entry: Entry): void {
    this.ghosts.set(entry.id.id, { owner: entry.owner, fingerprint: entry.fingerprint })
    if (this.ghosts.size <= ghostsMax) return
    for (const oldest of this.ghosts.keys()) {
      this.ghosts.delete(oldest)
      return
    }
  }
}
