import { describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestGateway } from "effect-payments/testing"
import * as Harness from "../faults/harness.ts"
import { Commands, simulate } from "./engineModel.ts"

/** More of them: `MODEL_RUNS=2000 npx vitest …`. A failure prints its history, shrunk, and the seed that repeats it. */
const runs = Number(process.env["MODEL_RUNS"] ?? 60)

const stores = [
  { name: "memory", backend: Harness.memory, local: false, runs },
  { name: "memory asked without a wait", backend: Harness.memory, local: true, runs },
  { name: "SQLite", backend: Harness.sqlite, local: false, runs: Math.ceil(runs / 4) }
]

describe("the engine, whatever happens to three processes over one store", () => {
  for (const { backend, local, name, runs } of stores) {
    for (const deduplicates of ["24 hours", false] as const) {
      it.effect.prop(
        `keeps its promises over ${name} with a gateway that ${
          deduplicates === false ? "executes all it gets" : "de-duplicates"
        }`,
        [Commands],
        ([commands]) =>
          simulate(commands, { deduplicates: deduplicates !== false, local, checksWorkers: name !== "SQLite" }).pipe(
            Effect.scoped,
            Effect.provide(Layer.merge(TestGateway.layer({ deduplicates }), backend.layer))
          ),
        { arbitrary: { runs }, timeout: 60_000 + runs * 1000 }
      )
    }
    // Only where an answered call may be sent again does an operation of several calls always come to an end by itself.
    it.effect.prop(
      `keeps its promises over ${name} for an operation of two calls`,
      [Commands],
      ([commands]) =>
        simulate(commands, { deduplicates: true, sells: true, local, checksWorkers: name !== "SQLite" }).pipe(
          Effect.scoped,
          Effect.provide(Layer.merge(TestGateway.layer({ deduplicates: "24 hours" }), backend.layer))
        ),
      { arbitrary: { runs }, timeout: 60_000 + runs * 1000 }
    )
  }
})
