import { NodeCrypto } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { inTransactionOfClient } from "../../src/internal/sql/transaction.ts"
import { callOptions } from "./callOptions.ts"

// A client whose BEGIN and COMMIT are answered at once: what is looked at is the wait around it.
const sql = { withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) => self } as unknown as SqlClient.SqlClient
const options = { ...callOptions, transactional: true } as const

for (const isBounded of [false, true]) {
  it.effect(`a transaction that takes over is interrupted with its last caller (bounded: ${isBounded})`, () =>
    Effect.gen(function*() {
      const { local: _, ...memory } = yield* IdempotencyStore.IdempotencyStore
      const transactions = {
        isInside: Effect.succeed(false),
        withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) =>
          isBounded ? inTransactionOfClient(sql, 1_000, self) : self
      }
      let died = true
      // The first owner dies with its lease: it never completes, releases or renews.
      const store = {
        ...memory,
        transactions,
        renew: (requests: never) => died ? Effect.never : memory.renew(requests),
        complete: (request: never) => died ? Effect.never : memory.complete(request),
        release: (request: never) => died ? Effect.never : memory.release(request)
      } as unknown as IdempotencyStore.IdempotencyStore["Service"]
      const layer = Idempotency.layer().pipe(Layer.provide(Layer.succeed(IdempotencyStore.IdempotencyStore, store)))
      const run = (self: Effect.Effect<string>) =>
        Effect.forkChild(Effect.provide(Idempotency.idempotent(self, options), layer, { local: true }), {
          startImmediately: true
        })
      yield* run(Effect.never)
      yield* TestClock.adjust("31 seconds")
      died = false
      let ended = false
      let begun = false
      const second = yield* run(
        Effect.andThen(
          Effect.sync(() => {
            begun = true
          }),
          Effect.never
        ).pipe(
          Effect.onExit(() =>
            Effect.sync(() => {
              ended = true
            })
          )
        )
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue(begun)
      second.interruptUnsafe()
      yield* TestClock.adjust("1 hour")
      assert.isTrue(ended)
      assert.isDefined(second.pollUnsafe())
    }).pipe(Effect.provide([IdempotencyStore.layerStoreMemory(), NodeCrypto.layer])))
}
