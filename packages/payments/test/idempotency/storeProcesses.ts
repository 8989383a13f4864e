/** Registers the cases of the contract for several processes over one store. */
import { NodeServices } from "@effect/platform-node"
import { it as test } from "@effect/vitest"
import { Context, type Duration, Effect, Layer } from "effect"
import { StoreContract } from "effect-payments/testing"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"
import { programOf } from "../../../examples/src/soak/program.ts"
import { place } from "../../../examples/src/soak/stores.ts"
import type { StoreAt } from "../../../examples/src/soak/wire.ts"
import type { Program } from "../../../examples/src/soak/Worker.ts"

/** The program of the processes, as one file. */
export class StoreProgram extends Context.Service<StoreProgram, Program>()("test/StoreProgram") {}

export const layerProgram = Layer.effect(
  StoreProgram,
  programOf(fileURLToPath(new URL("../support/storeWorker.ts", import.meta.url)))
)

class Place extends Context.Service<Place, StoreAt>()("test/Place") {}

export interface ProcessesOptions<R> {
  readonly client: (at: StoreAt) => Layer.Layer<R, unknown>
  /** Lets time pass for the store at a place without waiting. */
  readonly advance: (at: StoreAt) => (duration: Duration.Duration) => Effect.Effect<unknown, unknown, R>
}

export const storeProcesses = <R>(
  kind: StoreAt["kind"],
  url: string,
  { advance, client }: ProcessesOptions<R>
): void => {
  const services = Layer.unwrap(Effect.gen(function*() {
    const at = yield* place(kind, url)
    const { env, path } = yield* StoreProgram
    const command = ChildProcess.make(process.execPath, [path, JSON.stringify(at)], { env })
    return Layer.mergeAll(StoreContract.layerWorkers(command), client(at), Layer.succeed(Place, at))
  })).pipe(Layer.provide(layerProgram), Layer.provideMerge(NodeServices.layer))

  test.layer(services, { excludeTestServices: true, timeout: "1 minute" })(`${kind}, in several processes`, (it) => {
    const cases = StoreContract.idempotencyStoreProcesses({
      advance: (duration) => Effect.flatMap(Place, (at) => advance(at)(duration))
    })
    for (const { name, run } of cases) it.effect(name, () => run, 60_000)
  })
}
