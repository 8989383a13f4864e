import { type Effect, type Layer, Schema } from "effect"
import { Idempotency, JobQueue, PaymentError, type PaymentGateway } from "effect-payments"
import type { SqlClient } from "effect/sql"
import { describe, expectTypeOf, it } from "vitest"

interface Mailer {
  readonly _: "Mailer"
}
declare const queue: JobQueue.JobQueue<string>
declare const send: (to: string, job: JobQueue.Job) => Effect.Effect<void, "no", Mailer>
declare const charge: (
  id: string
) => Effect.Effect<PaymentGateway.Transaction, PaymentError.PaymentError, Idempotency.Claim>
const made = JobQueue.make({ name: "x", payload: Schema.String })

describe("JobQueue", () => {
  it("needs its store", () => {
    expectTypeOf(made).toEqualTypeOf<Effect.Effect<JobQueue.JobQueue<string>, never, JobQueue.JobQueueStore>>()
  })

  it("works with the services of the handler, and for ever", () => {
    expectTypeOf(queue.work(send)).toEqualTypeOf<Effect.Effect<never, never, Mailer>>()
    expectTypeOf(JobQueue.layerWorkers(made, send)).toEqualTypeOf<
      Layer.Layer<never, never, JobQueue.JobQueueStore | Mailer>
    >()
  })

  it("leaves a handler that moves money its claim to ask for", () => {
    expectTypeOf(queue.work(charge)).toEqualTypeOf<Effect.Effect<never, never, Idempotency.Claim>>()
    const once = queue.work((id: string) =>
      Idempotency.idempotent(charge(id), {
        scope: Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 }),
        key: Idempotency.Key.make(id),
        payload: id,
        payloadSchema: Schema.String,
        success: Schema.Any as Schema.Codec<PaymentGateway.Transaction, unknown>,
        error: PaymentError.PaymentError
      })
    )
    expectTypeOf(once).toEqualTypeOf<Effect.Effect<never, never, Idempotency.Idempotency>>()
  })

  it("has an outbox on a database alone", () => {
    expectTypeOf(JobQueue.layerStoreSql()).toMatchTypeOf<
      Layer.Layer<JobQueue.JobQueueStore | JobQueue.SqlJobQueueStore, unknown, SqlClient.SqlClient>
    >()
    expectTypeOf(JobQueue.layerStoreMemory()).toEqualTypeOf<Layer.Layer<JobQueue.JobQueueStore>>()
  })
})
