/**
 * What the commands of `payctl saga` share: the log, and how a run is named.
 *
 * @internal
 */
import * as SagaLog from "effect-payments/SagaLog"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { BadInput, Declined, Unavailable } from "./failure.ts"
import { type Access, redisLayer, requireTable, sqlLayer, storeFlags, type Target, targetOf } from "./store.ts"

const tableDefault = "effect_payments_saga"
const prefixDefault = "effect_payments:saga"

/** @internal */
export const logOptions = {
  ...storeFlags,
  table: Flag.String("table").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription(`The table of runs, in SQLite or Postgres (default: ${tableDefault})`),
    Flag.withDefault(tableDefault)
  ),
  prefix: Flag.String("prefix").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription(`The prefix of the keys, in Redis (default: ${prefixDefault})`),
    Flag.withDefault(prefixDefault)
  )
}

/** @internal */
export const named = {
  saga: Argument.String("saga").pipe(Argument.withDescription("The name of the saga")),
  id: Argument.String("id").pipe(Argument.withDescription("The id of the run"))
}

/** @internal */
export const jsonFlag = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))

/** @internal */
export interface Opened {
  readonly log: SagaLog.SagaLog["Service"]
  readonly target: Target
}

/** @internal Opens the log, which has to be there: no command makes a table. */
export const withLog = <A, E, R>(
  options: Parameters<typeof targetOf>[0] & { readonly table: string; readonly prefix: string },
  access: Access,
  use: (opened: Opened) => Effect.Effect<A, E | SagaLog.LogUnavailable, R>
) =>
  Effect.gen(function*() {
    const { prefix, table } = options
    const target = yield* targetOf(options)
    const run = Effect.flatMap(SagaLog.SagaLog, (log) => use({ log, target }))
    return yield* target._tag === "redis"
      ? Effect.provide(run, Layer.provide(layerRedis(prefix), redisLayer(target)))
      : Effect.provide(
        Effect.andThen(
          requireTable(target, table),
          Effect.provide(run, SagaLog.layerStoreSql({ table, migrate: false }))
        ),
        sqlLayer(target, access)
      )
  }).pipe(
    Effect.catchIf(isLogUnavailable, (error) => Effect.fail(unavailable(error))),
    Effect.catchIf(isOther, () => Effect.fail(new Unavailable({ what: "the log cannot be used" }))),
    // What a driver logs goes past the output of the command, and may hold the URL.
    Effect.provideService(References.MinimumLogLevel, "None")
  )

// A person who looks at runs may do so also where the service would not start.
const layerRedis = (prefix: string) => SagaLog.layerStoreRedis({ prefix, eviction: "accept" })

const isLogUnavailable = Schema.is(SagaLog.LogUnavailable)
const isOther = (error: unknown): error is { readonly _tag: "MigrationError" | "SqlError" } =>
  typeof error === "object" && error !== null && "_tag" in error &&
  (error._tag === "SqlError" || error._tag === "MigrationError")

const unavailable = ({ detail, operation }: SagaLog.LogUnavailable): Unavailable | BadInput =>
  operation === "start"
    ? new BadInput({ what: detail })
    : new Unavailable({
      what: `the log did not answer (${operation}, ${detail}). Try again; if it stays so, the log is of another version`
    })

/** @internal The history of a run. */
export const read = Effect.fnUntraced(function*({ log }: Opened, saga: string, id: string) {
  const history = yield* log.read(SagaLog.runId(saga, id))
  return history === undefined
    ? yield* new Declined({
      what: "there is no such run: it was never begun, has been swept, or is in another log"
    })
    : history
})
