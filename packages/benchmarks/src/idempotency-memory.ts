// The cost of idempotency in process, over a store in memory, beside Powertools with a map for a store: a first call and a
// replay of the same small charge. Powertools runs twice: as it comes (the hash of the payload is the key), and with
// what is always on here, a key apart from the payload and a check that the payload is the same.
import {
  IdempotencyConfig,
  IdempotencyItemAlreadyExistsError,
  IdempotencyItemNotFoundError,
  makeIdempotent
} from "@aws-lambda-powertools/idempotency"
import { BasePersistenceLayer, IdempotencyRecord } from "@aws-lambda-powertools/idempotency/persistence"
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Layer, Logger, ManagedRuntime, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { type Contender, measure } from "./measure.ts"
import { atMost, makeReport, type Report } from "./report.ts"

const operations = 500
// Both stores keep what they are given; enough for all rounds, and both start empty.
const capacity = 5_000_000

const charge = { order: "order-1", amount: "10.00", currency: "USD", token: "tok_visa_abcdef", reference: "ch_123456" }
const answer = { id: "ch_1", status: "authorized" }

/** What Powertools asks of a store, over a map. */
class MapPersistence extends BasePersistenceLayer {
  private readonly records = new Map<string, IdempotencyRecord>()

  protected override async _putRecord(record: IdempotencyRecord): Promise<void> {
    const known = this.records.get(record.idempotencyKey)
    if (known !== undefined && !known.isExpired()) {
      throw new IdempotencyItemAlreadyExistsError("exists", known)
    }
    this.records.set(record.idempotencyKey, record)
  }
  protected override async _getRecord(key: string): Promise<IdempotencyRecord> {
    const known = this.records.get(key)
    if (known === undefined) throw new IdempotencyItemNotFoundError("missing")
    return known
  }
  protected override async _updateRecord(record: IdempotencyRecord): Promise<void> {
    this.records.set(record.idempotencyKey, record)
  }
  protected override async _deleteRecord(record: IdempotencyRecord): Promise<void> {
    this.records.delete(record.idempotencyKey)
  }
}

// Each gets a store of its own: the persistence layer keeps the configuration of the first that uses it.
const powertools = (config: ConstructorParameters<typeof IdempotencyConfig>[0]) =>
  makeIdempotent(async (_event: { readonly key: string; readonly payload: typeof charge }) => answer, {
    persistenceStore: new MapPersistence(),
    config: new IdempotencyConfig(config)
  })

const runtime = () =>
  ManagedRuntime.make(
    Idempotency.layer({ sweepEvery: false }).pipe(
      Layer.provide(IdempotencyStore.layerStoreMemory({ capacity })),
      Layer.provide(NodeCrypto.layer),
      Layer.merge(Logger.layer([]))
    )
  )

const options = {
  scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
  payload: charge,
  payloadSchema: Schema.Struct({
    order: Schema.String,
    amount: Schema.String,
    currency: Schema.String,
    token: Schema.String,
    reference: Schema.String
  }),
  success: Schema.Struct({ id: Schema.String, status: Schema.String }),
  error: PaymentError.PaymentError
}

const effect = Effect.sync(() => answer)

// Keys are decoded where requests come in.
const ours = (key: string) => Idempotency.idempotent(effect, { ...options, key: key as Idempotency.Key })

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
    return makeReport("idempotency-memory", rows, [
      atMost("first call through Powertools'", measured.ratio("first call", "Powertools, first call"), 0.5),
      atMost("replay through Powertools'", measured.ratio("replay", "Powertools, replay"), 0.35)
    ])
  } finally {
    await dispose()
  }
}
