// The cost of idempotency in process, over a store in memory, beside Powertools with a map for a store: a first call and a
// replay of the same small charge. Powertools runs twice: as it comes (the hash of the payload is the key), and with
// what is always on here, a key apart from the payload and a check that the payload is the same.
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { charge, effect, ours, powertools } from "./charge.ts"
import { type Contender, measure } from "./measure.ts"
import { atMost, makeReport, type Report } from "./report.ts"

const operations = 500
// Both stores keep what they are given; enough for all rounds, and both start empty.
const capacity = 5_000_000

const runtime = () =>
  ManagedRuntime.make(
    Idempotency.layer({ sweepEvery: false }).pipe(
      Layer.provide(IdempotencyStore.layerStoreMemory({ capacity })),
      Layer.provide(NodeCrypto.layer),
      Layer.merge(Logger.layer([]))
    )
  )

const repeat = <E, R>(operation: () => Effect.Effect<unknown, E, R>): Effect.Effect<void, E, R> =>
  Effect.gen(function*() {
    for (let i = 0; i < operations; i++) yield* operation()
  })

const many = async (operation: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < operations; i++) await operation()
}

export const run = async (): Promise<Report> => {
  const { dispose, runPromise } = runtime()
  const asItComes = powertools({})
  const likeOurs = powertools({ eventKeyJmesPath: "key", payloadValidationJmesPath: "payload" })
  let last = 0
  const fresh = (): string => `key-${last++}`
  const batch = (run: () => unknown): Contender => ({ run, operations })
  try {
    const measured = await measure({
      "bare Effect": batch(() => runPromise(repeat(() => effect))),
      "first call": batch(() => runPromise(repeat(() => ours(fresh())))),
      "replay": batch(() => runPromise(repeat(() => ours("replayed")))),
      "Powertools, first call": batch(() => many(() => asItComes({ key: fresh(), payload: charge }))),
      "Powertools, replay": batch(() => many(() => asItComes({ key: "replayed", payload: charge }))),
      "Powertools with key and validation, first call": batch(() =>
        many(() => likeOurs({ key: fresh(), payload: charge }))
      ),
      "Powertools with key and validation, replay": batch(() =>
        many(() => likeOurs({ key: "replayed", payload: charge }))
      )
    })
    const peer = (name: string) => name.endsWith("first call") ? "first call" : "replay"
    const rows = (Object.keys(measured.nanoseconds) as Array<keyof typeof measured.nanoseconds>).map((name) => ({
      name,
      nanoseconds: measured.nanoseconds[name],
      ...(name.startsWith("Powertools")
        ? { ratio: measured.ratio(peer(name), name), note: `our ${peer(name)} through this` }
        : {})
    }))
    // As it comes it keeps less and checks less: no fingerprint, no owner, no lease. With key and validation it does what is
    // done here.
    return makeReport("idempotency-memory", rows, [
      atMost("first call through Powertools' as it comes", measured.ratio("first call", "Powertools, first call"), 0.5),
      atMost("replay through Powertools' as it comes", measured.ratio("replay", "Powertools, replay"), 0.35),
      atMost(
        "first call through Powertools' with key and validation",
        measured.ratio("first call", "Powertools with key and validation, first call"),
        0.7
      ),
      atMost(
        "replay through Powertools' with key and validation",
        measured.ratio("replay", "Powertools with key and validation, replay"),
        0.35
      )
    ])
  } finally {
    await dispose()
  }
}
