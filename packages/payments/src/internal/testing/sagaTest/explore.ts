/**
 * All schedules of a saga, those with the fewest disturbances first, so that the first one that breaks a promise is a
 * smallest one.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Truth } from "./books.ts"
import { type Behind, covers, type Deviation, type Draw, type Left, type Point } from "./choices.ts"
import { play, type Played, type Subject } from "./schedule.ts"

/** @internal */
export interface Explored {
  readonly schedules: number
  readonly merged: number
  readonly isComplete: boolean
  /** How often each thing happened at each point. */
  readonly coverage: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly states: ReadonlyMap<string, number>
  readonly broken: Found | undefined
}

/** @internal */
export interface Found {
  readonly deviations: ReadonlyArray<Deviation>
  readonly played: Played
}

/** @internal */
export type Setup = Omit<Subject, "isSeen" | "reference">

/** What a run leaves behind whose messages come so and to which nothing else happens, if it completes. */
const referencesOf = (setup: Setup): NonNullable<Subject["reference"]> => {
  const known = new Map<string, Truth | undefined>()
  return (plans) =>
    Effect.suspend(() => {
      const key = plans.join()
      return known.has(key) ? Effect.succeed(known.get(key)) : Effect.map(
        play({ ...setup, plans, reference: undefined, isSeen: () => false }, [], { isTraced: false }),
        ({ state, truth }) => {
          const reference = state === "Completed" ? truth : undefined
          known.set(key, reference)
          return reference
        }
      )
    })
}

/** @internal One schedule, with a trace. */
export const replay = (
  setup: Setup,
  deviations: ReadonlyArray<Deviation | Draw>
): Effect.Effect<Played> =>
  play({ ...setup, reference: referencesOf(setup), isSeen: () => false }, deviations, { isTraced: true })

/** @internal */
export const explore = (
  subject: Setup,
  options: { readonly schedulesMax: number }
): Effect.Effect<Explored> =>
  Effect.gen(function*() {
    const seen = new Seen()
    // Of steps at the same time the next point may be one beside, and before the end of this one.
    const isSequential = subject.saga.steps.every(({ group }) => group === undefined)
    const coverage = new Map<string, Map<string, number>>()
    const states = new Map<string, number>()
    const reference = referencesOf(subject)
    let schedules = 0
    let merged = 0
    let level: Array<Child> = [{ deviations: [], behind: undefined }]
    while (level.length > 0) {
      const next: Array<Child> = []
      for (const { behind, deviations } of level) {
        if (schedules >= options.schedulesMax) {
          return { schedules, merged, isComplete: false, coverage, states, broken: undefined }
        }
        if (behind !== undefined && seen.has(behind.state, behind)) {
          schedules++
          merged++
          count(coverage, behind.label, deviations.at(-1)?.name ?? "nothing")
          continue
        }
        const played = yield* play({ ...subject, reference, isSeen: seen.isSeen }, deviations, { isTraced: false })
        schedules++
        if (schedules % turnEvery === 0) yield* Effect.yieldNow
        if (played.isMerged) merged++
        for (const { label, taken } of played.points) count(coverage, label, taken ?? "nothing")
        if (!played.isMerged) states.set(played.state ?? "", (states.get(played.state ?? "") ?? 0) + 1)
        if (played.broken !== undefined) {
          const broken = yield* smallest(subject, reference, { deviations, played })
          return { schedules, merged, isComplete: false, coverage, states, broken }
        }
        next.push(...childrenOf(deviations, played, isSequential))
      }
      level = next
    }
    return { schedules, merged, isComplete: true, coverage, states, broken: undefined }
  })

const turnEvery = 64

/** A schedule to be played, and what it comes to by the death that ends it, as far as its parent can tell. */
interface Child {
  readonly deviations: ReadonlyArray<Deviation>
  readonly behind: (Behind & { readonly label: string }) | undefined
}

/** Every other thing that could have happened after the last one that did. */
const childrenOf = (
  deviations: ReadonlyArray<Deviation>,
  { points }: Played,
  isSequential: boolean
): ReadonlyArray<Child> => {
  const first = (deviations.at(-1)?.at ?? -1) + 1
  return points.slice(first).flatMap((point, index) => {
    const at = first + index
    const isFirst = index === 0 || !isSequential
    return point.alternatives.filter(({ name }) => isFirst || !isSame(points[at - 1], point, name)).map(({ name }) => ({
      deviations: [...deviations, { at, name }],
      behind: behindOf(point, isSequential ? points[at + 1] : undefined, name)
    }))
  })
}

const behindOf = (point: Point, next: Point | undefined, name: string): Child["behind"] => {
  const isSoon = next?.by === point.by && next.left?.at === point.left?.at
  const left = name === "die before" ? point.left : name === "die after" && isSoon ? next.left : undefined
  return left && { ...left, crash: left.crash - 1, label: point.label }
}

/** Between two points of a process nothing becomes durable: dead after the one is dead before the other. */
const isSame = (before: Point | undefined, { by }: Point, name: string): boolean =>
  before?.by === by && name === "die before" && before.alternatives.some((other) => other.name === "die after")

const count = (coverage: Map<string, Map<string, number>>, label: string, taken: string): void => {
  const counts = coverage.get(label) ?? new Map<string, number>()
  counts.set(taken, (counts.get(taken) ?? 0) + 1)
  coverage.set(label, counts)
}

/** States that a process has left behind by its end, with what could still happen then. */
class Seen {
  private readonly states = new Map<string, Array<Left>>()

  readonly isSeen = (state: string, left: Left): boolean => {
    if (this.has(state, left)) return true
    this.states.set(state, [...this.states.get(state) ?? [], left])
    return false
  }

  readonly has = (state: string, left: Left): boolean =>
    this.states.get(state)?.some((other) => covers(other, left)) === true
}

/** Drops what is not needed to break the same promise. */
const smallest = (
  subject: Setup,
  reference: Subject["reference"],
  found: Found
): Effect.Effect<Found> =>
  Effect.gen(function*() {
    const again = (deviations: ReadonlyArray<Deviation>, isTraced: boolean) =>
      play({ ...subject, reference, isSeen: () => false }, deviations, { isTraced })
    let { deviations } = found
    for (let at = deviations.length - 1; at >= 0; at--) {
      const fewer = deviations.filter((_, index) => index !== at)
      const { broken } = yield* again(fewer, false)
      if (broken?.invariant === found.played.broken?.invariant) deviations = fewer
    }
    return { deviations, played: yield* again(deviations, true) }
  })
