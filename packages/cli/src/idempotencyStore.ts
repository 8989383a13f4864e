/**
 * What the commands of `payctl idempotency` share: the store, and how a record is named.
 *
 * @internal
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as Idempotency from "effect-payments/Idempotency"
import * as IdempotencyStore from "effect-payments/IdempotencyStore"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { BadInput, Declined, Unavailable } from "./failure.ts"
import { readText } from "./given.ts"
import { referenceOf, referencePattern } from "./idempotencyRecord.ts"
import { find } from "./idempotencySearch.ts"
import { makeProgress } from "./progress.ts"
import { type Access, redisLayer, requireTable, sqlLayer, storeFlags, type Target, targetOf } from "./store.ts"

const tableDefault = "effect_payments_idempotency"
const prefixDefault = "effect_payments:idempotency"

/** @internal */
export const storeOptions = {
  ...storeFlags,
  table: Flag.String("table").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription(`The table, in SQLite or Postgres (default: ${tableDefault})`),
    Flag.withDefault(tableDefault)
  ),
  prefix: Flag.String("prefix").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription(`The prefix of the keys, in Redis (default: ${prefixDefault})`),
    Flag.withDefault(prefixDefault)
  )
}

/** @internal */
export const jsonFlag = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))

/** @internal */
export const scopeFlags = {
  tenant: Flag.String("tenant").pipe(Flag.withDescription("Of this tenant"), Flag.optional),
  operation: Flag.String("operation").pipe(Flag.withDescription("Of this operation"), Flag.optional),
  scopeVersion: Flag.Int("scope-version").pipe(Flag.withDescription("Of this version of the scope"), Flag.optional)
}

/** @internal */
export const optionsOf = (options: {
  readonly tenant: Option.Option<string>
  readonly operation: Option.Option<string>
  readonly scopeVersion: Option.Option<number>
}) => ({
  tenant: Option.getOrUndefined(options.tenant),
  operation: Option.getOrUndefined(options.operation),
  scopeVersion: Option.getOrUndefined(options.scopeVersion)
})

type Store = IdempotencyStore.IdempotencyStore["Service"]
type Options = Parameters<typeof targetOf>[0] & { readonly table: string; readonly prefix: string }

/** @internal */
export interface Opened {
  readonly store: Store
  readonly target: Target
}

/** @internal Opens the store, which has to be there: no command makes a table. */
export const withStore = <A, E, R>(
  options: Options,
  access: Access,
  use: (opened: Opened) => Effect.Effect<A, E | IdempotencyStore.StoreUnavailable, R>
) =>
  Effect.gen(function*() {
    const target = yield* targetOf(options)
    const run = Effect.flatMap(IdempotencyStore.IdempotencyStore, (store) => use({ store, target }))
    return yield* target._tag === "redis"
      ? Effect.provide(run, Layer.provide(layerRedis(options.prefix), redisLayer(target)))
      : Effect.provide(
        Effect.andThen(
          requireTable(target, options.table),
          Effect.provide(run, IdempotencyStore.layerStoreSql({ table: options.table, migrate: false, batchMax: 1 }))
        ),
        sqlLayer(target, access)
      )
  }).pipe(
    Effect.catchIf(isStoreUnavailable, (error) => Effect.fail(unavailable(error))),
    Effect.catchIf(isOther, () => Effect.fail(new Unavailable({ what: "the store cannot be used" }))),
    // What a driver logs goes past the output of the command, and may hold the URL.
    Effect.provideService(References.MinimumLogLevel, "None")
  )

// A person who looks at records may do so also where the service would not start.
const layerRedis = (prefix: string) => IdempotencyStore.layerStoreRedis({ prefix, eviction: "accept" })

const isStoreUnavailable = Schema.is(IdempotencyStore.StoreUnavailable)
const isOther = (error: unknown): error is { readonly _tag: "MigrationError" | "SqlError" } =>
  typeof error === "object" && error !== null && "_tag" in error &&
  (error._tag === "SqlError" || error._tag === "MigrationError")

const unavailable = ({ detail, operation }: IdempotencyStore.StoreUnavailable): Unavailable | BadInput =>
  operation === "start"
    ? new BadInput({ what: detail })
    : new Unavailable({
      what: detail === "RowUnreadable"
        ? "a record is none that this version of payctl can read"
        : `the store did not answer (${operation}, ${detail}). Try again: nothing is done twice`
    })

// --- naming a record

/** @internal */
export const named = {
  record: Argument.String("record").pipe(
    Argument.withDescription("Its reference (rec_…), or a key that was sent to the gateway (ep1_…)"),
    Argument.optional
  ),
  ...scopeFlags,
  keyFile: Flag.String("key-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Instead: the client's key, from a file or stdin (-), with tenant, operation and version"),
    Flag.optional
  ),
  phases: Flag.String("phase").pipe(
    Flag.withDescription("The phase of a gateway call, for its key; may be given again (default: authorize)"),
    Flag.atLeast(0)
  )
}

/** @internal How a record was named, read and checked before a store is opened. */
export type Name =
  & {
    readonly phases: ReadonlyArray<string>
    readonly tenant: string | undefined
    readonly operation: string | undefined
  }
  & (
    | { readonly _tag: "reference" | "downstreamKey"; readonly text: string }
    | { readonly _tag: "id"; readonly id: IdempotencyStore.RecordId }
  )

const downstreamPattern = /^ep1_[0-9a-f]{40}$/
const bad = (what: string) => Effect.fail(new BadInput({ what }))

/** @internal */
export const nameOf = Effect.fnUntraced(function*(
  options: Parameters<typeof optionsOf>[0] & {
    readonly record: Option.Option<string>
    readonly keyFile: Option.Option<string>
    readonly phases: ReadonlyArray<string>
  }
) {
  const { operation, scopeVersion, tenant } = optionsOf(options)
  const phases = options.phases.length === 0 ? ["authorize"] : options.phases
  const scope = { phases, tenant, operation }
  const text = Option.getOrUndefined(options.record)
  const keyFile = Option.getOrUndefined(options.keyFile)
  if (text === undefined && keyFile === undefined) {
    return yield* bad("which record? Name its reference, or say --key-file")
  }
  if (text !== undefined && keyFile !== undefined) return yield* bad("a record and --key-file: one of them")
  if (keyFile !== undefined) {
    return { ...scope, _tag: "id", id: yield* readId(keyFile, { tenant, operation, version: scopeVersion }) } as Name
  }
  if (text !== undefined && referencePattern.test(text)) return { ...scope, _tag: "reference", text } as Name
  if (text !== undefined && downstreamPattern.test(text)) return { ...scope, _tag: "downstreamKey", text } as Name
  // It may be a client's key: it is not repeated.
  return yield* bad(
    "the record is named neither by a reference (rec_ and 24 hexadecimal digits) nor by a downstream key (ep1_ and 40). A "
      + "client's key is given by --key-file"
  )
})

const isScope = Schema.is(Idempotency.Scope)
const isKey = Schema.is(Idempotency.Key)

const readId = Effect.fnUntraced(function*(path: string, scope: { readonly [part: string]: unknown }) {
  if (!isScope(scope)) {
    return yield* bad("--key-file needs --tenant, --operation and --scope-version as the service has them")
  }
  const key = (yield* readText("--key-file", path, 1024)).replace(/\r?\n$/, "")
  return isKey(key)
    ? IdempotencyStore.recordId(scope, key)
    : yield* bad("--key-file: no key, which has 1 to 255 printable ASCII characters and no space at either end")
})

/** @internal The record of a name, if there is one, and what its calls are named at the gateway. */
export const lookup = Effect.fnUntraced(function*({ store }: Opened, name: Name) {
  const progress = yield* makeProgress
  const found = name._tag === "id" ? name.id : yield* find({
    store,
    progress,
    scope: { tenant: name.tenant, operation: name.operation },
    isWanted: (record) =>
      name._tag === "reference"
        ? Effect.succeed(referenceOf(record) === name.text)
        : Effect.map(keysOf(record, name.phases), (keys) => Object.values(keys).includes(name.text))
  })
  yield* progress.clear
  if (found === undefined) return undefined
  const { now, record } = yield* store.inspect(found)
  if (record === undefined) return undefined
  return { record, now, downstreamKeys: yield* keysOf(record, name.phases) }
})

const keysOf = (
  { key, scope }: IdempotencyStore.RecordId,
  phases: ReadonlyArray<string>
): Effect.Effect<{ readonly [phase: string]: string }> =>
  Effect.forEach(
    phases,
    (phase) => Effect.map(Idempotency.downstreamKey({ scope, key, phase }), (key) => [phase, key] as const)
  ).pipe(
    Effect.map(Object.fromEntries<string>),
    Effect.provide(NodeCrypto.layer)
  )

/** @internal */
export const requireRecord = Effect.fnUntraced(function*(opened: Opened, name: Name) {
  const found = yield* lookup(opened, name)
  if (found !== undefined) return found
  const hint = name._tag === "downstreamKey" ? " under these phases (--phase)" : ""
  return yield* new Declined({
    what:
      `${opened.target.place} holds no such record${hint}: it has expired, was evicted, or is in another store or scope`
  })
})
