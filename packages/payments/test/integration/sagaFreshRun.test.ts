/** A process that takes a run over looks up what may have left, also where the run was made as a millisecond ended. */
import { NodeCrypto } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { Saga, SagaLog } from "effect-payments"
import { SqlClient } from "effect/sql"
import { make } from "../../src/internal/saga/log.ts"
import { client, makeSchema } from "../support/postgres.ts"

it.live("a charge that has left is looked up, and not made again", () =>
  Effect.gen(function*() {
    const schema = yield* makeSchema("fresh")
    const did: Array<string> = []
    let hangs = true
    const saga = Saga.make("order", { payload: Schema.Struct({ orderId: Schema.String }) }).pipe(
      Saga.step("charge", {
        success: Schema.String,
        error: Schema.Never,
        run: () =>
          Effect.suspend(() => {
            did.push("run")
            return hangs ? Effect.never : Effect.succeed("charged")
          }),
        verify: () =>
          Effect.sync(() => {
            did.push("verify")
            return { _tag: "Happened" as const, result: "charged" }
          }),
        compensate: () => Effect.void
      })
    )
    const ticking = Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.andThen(
        sql.unsafe("CREATE SEQUENCE ticks").unprepared,
        sql.unsafe(`CREATE FUNCTION tick() RETURNS bigint LANGUAGE sql VOLATILE AS
          $$ SELECT CASE WHEN nextval('ticks') = 1 THEN 999 ELSE 1000 END::bigint $$`).unprepared
      ))
    yield* Effect.provide(ticking, client(schema))
    const process = () =>
      Saga.layer({ sweepEvery: false }).pipe(
        Layer.provide(Layer.effect(SagaLog.SagaLog, make({ table: "runs", migrate: true, now: "tick()" }))),
        Layer.provide([client(schema), NodeCrypto.layer])
      )
    const execute = Saga.execute(saga, { orderId: "1" }, { id: "o-1" })
    const first = yield* Effect.forkDetach(Effect.provide(execute, Layer.fresh(process())))
    while (did.length === 0 && first.pollUnsafe() === undefined) yield* Effect.sleep(10)
    // A deploy: the run is suspended, its lease released, and another process goes on.
    yield* Fiber.interrupt(first)
    hangs = false
    yield* Effect.provide(execute, Layer.fresh(process()))
    assert.deepStrictEqual(did, ["run", "verify"])
  }))
