/** What a bundle of the engine with one bug in it is hunted by: answers the promise that is broken. */
import { Effect } from "effect"
import { SagaTest } from "effect-payments/testing"
import { awaiting, awaitingWorld } from "./awaiting.ts"
import { checkout, world } from "./explored.ts"

// Small ones first: most bugs need one thing to happen.
const bounds = [{ depth: 0, faults: 1 }, { depth: 1, faults: 0 }, { depth: 1, faults: 1, schedulesMax: 500 }, {
  depth: 2,
  faults: 0
}]

const found = (explored: Effect.Effect<unknown, SagaTest.SagaBroken>) =>
  Effect.match(explored, {
    onFailure: ({ invariant, schedule }) => `${invariant} (${schedule})`,
    onSuccess: () => undefined
  })

/** Undefined: none is found. */
export const hunt = (): Promise<string | undefined> =>
  Effect.runPromise(
    Effect.gen(function*() {
      for (const options of bounds) {
        const broken = (yield* found(SagaTest.explore(checkout, world, options))) ??
          (yield* found(SagaTest.explore(awaiting, awaitingWorld, options)))
        if (broken !== undefined) return broken
      }
      // Two messages, both of them early.
      return yield* found(SagaTest.explore(awaiting, awaitingWorld, { depth: 0, faults: 2 }))
    })
  )
