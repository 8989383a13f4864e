// One small charge, made idempotent by this toolkit and by Powertools: what the benchmarks of idempotency compare.
import {
  IdempotencyConfig,
  IdempotencyItemAlreadyExistsError,
  IdempotencyItemNotFoundError,
  makeIdempotent
} from "@aws-lambda-powertools/idempotency"
import { BasePersistenceLayer, type IdempotencyRecord } from "@aws-lambda-powertools/idempotency/persistence"
import { Effect, Schema } from "effect"
import { Idempotency, PaymentError } from "effect-payments"

export const charge = {
  order: "order-1",
  amount: "10.00",
  currency: "USD",
  token: "tok_visa_abcdef",
  reference: "ch_123456"
}
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

type Config = ConstructorParameters<typeof IdempotencyConfig>[0]

// What it asks of the context of a Lambda. Without one it writes a warning for each first call, which would be timed.
const lambdaContext = { getRemainingTimeInMillis: () => 30_000 } as NonNullable<Config["lambdaContext"]>

// What is made idempotent is asynchronous on both sides: Powertools takes nothing else.
const operation = async () => answer

// Each gets a store of its own: the persistence layer keeps the configuration of the first that uses it.
export const makePowertools = (persistenceStore: BasePersistenceLayer, config: Config) =>
  makeIdempotent((_event: { readonly key: string; readonly payload: typeof charge }) => operation(), {
    persistenceStore,
    config: new IdempotencyConfig({ ...config, lambdaContext })
  })

/** In memory. */
export const powertools = (config: Config) => makePowertools(new MapPersistence(), config)

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

export const effect = Effect.promise(operation)

// Keys are decoded where requests come in.
export const ours = (key: string) => Idempotency.idempotent(effect, { ...options, key: key as Idempotency.Key })
