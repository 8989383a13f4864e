/**
 * What a schedule chooses at each of its points, and what it could have chosen.
 *
 * @internal
 */

/** @internal `crash` spends the depth, `fault` the faults. */
export type Cost = "crash" | "fault"

/** @internal What may happen at a point instead of nothing. */
export interface Alternative {
  readonly name: string
  readonly cost: Cost
}

/** @internal A point that a schedule came to. */
export interface Point {
  /** The process that is there. */
  readonly by: string
  readonly label: string
  readonly alternatives: ReadonlyArray<Alternative>
  readonly taken: string | undefined
  /** What is left behind if the process dies before it; undefined when that is not known. */
  readonly left: Behind | undefined
}

/** @internal What is left behind by processes that are gone, when, and what can still happen then. */
export interface Behind extends Left {
  readonly state: string
  readonly at: number
}

/** @internal At which point something happens, and what: `3=die before`. */
export interface Deviation {
  readonly at: number
  readonly name: string
}

/** @internal At which point something happens; `draw` says which of the things that can, counted round. */
export interface Draw {
  readonly at: number
  readonly draw: number
}

/** @internal What happened, by points. */
export const deviationsOf = (points: ReadonlyArray<Point>): ReadonlyArray<Deviation> =>
  points.flatMap(({ taken }, at) => taken === undefined ? [] : [{ at, name: taken }])

/** @internal */
export interface Budget {
  readonly crash: number
  readonly fault: number
}

/** @internal What can still happen: `struck` has met its fault already. */
export interface Left extends Budget {
  readonly struck: ReadonlyArray<string>
}

/** @internal Whether all that can happen with `other` left can happen with this. */
export const covers = (self: Left, other: Left): boolean =>
  self.crash >= other.crash && self.fault >= other.fault &&
  (other.fault === 0 || self.struck.every((name) => other.struck.includes(name)))

/** @internal */
export class Choices {
  readonly points: Array<Point> = []
  left: { crash: number; fault: number }
  /** No more is chosen: all goes well from here. */
  isClosed = false
  /** How many of the deviations have been met. */
  met = 0
  private readonly deviations: ReadonlyMap<number, string | number>
  private readonly behind: (by: string) => Behind | undefined

  /** `behind`: what is left behind if this process dies now. */
  constructor(
    deviations: ReadonlyArray<Deviation | Draw>,
    budget: Budget,
    behind: (by: string) => Behind | undefined
  ) {
    this.behind = behind
    this.deviations = new Map(deviations.map((it) => [it.at, "name" in it ? it.name : it.draw]))
    this.left = { ...budget }
  }

  /** What is planned has happened, all of it. */
  get isMet(): boolean {
    return this.met === this.deviations.size
  }

  /** Undefined: nothing happens. */
  choose(by: string, label: string, offered: ReadonlyArray<Alternative>): string | undefined {
    if (this.isClosed) return undefined
    const alternatives = offered.filter(({ cost }) => this.left[cost] > 0)
    const left = this.isMet && this.left.crash > 0 ? this.behind(by) : undefined
    const planned = this.deviations.get(this.points.length)
    const taken = typeof planned === "number"
      ? alternatives[planned % Math.max(1, alternatives.length)]
      : alternatives.find(({ name }) => name === planned)
    if (taken !== undefined) {
      this.left[taken.cost]--
      this.met++
    }
    this.points.push({ by, label, alternatives, taken: taken?.name, left })
    return taken?.name
  }
}

/** @internal */
export const format = (deviations: ReadonlyArray<Deviation>): string =>
  deviations.map(({ at, name }) => `${at}=${name}`).join(",")

/** @internal Undefined when it is none. */
export const parse = (schedule: string): ReadonlyArray<Deviation> | undefined => {
  const deviations: Array<Deviation> = []
  for (const part of schedule.split(",").filter((part) => part.trim() !== "")) {
    const [, at, name] = /^\s*(\d{1,6})=([a-z ]{1,40}?)\s*$/.exec(part) ?? []
    if (at === undefined || name === undefined) return undefined
    deviations.push({ at: Number(at), name })
  }
  return deviations.sort((a, b) => a.at - b.at)
}
