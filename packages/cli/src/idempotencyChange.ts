/**
 * `payctl idempotency resolve` and `evict`: what an operator changes.
 *
 * @internal
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as IdempotencyStore from "effect-payments/IdempotencyStore"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { align } from "./columns.ts"
import { confirm, yesFlag } from "./confirm.ts"
import * as duration from "./duration.ts"
import { BadInput, Declined } from "./failure.ts"
import { parseJson, readReason, readText } from "./given.ts"
import * as shown from "./idempotencyRecord.ts"
import {
  jsonFlag,
  lookup,
  type Name,
  named,
  nameOf,
  type Opened,
  requireRecord,
  storeOptions,
  withStore
} from "./idempotencyStore.ts"

type Record = IdempotencyStore.Record
type Resolution = IdempotencyStore.ResolveRequest["resolution"]

const bad = (what: string) => Effect.fail(new BadInput({ what }))

const readTime = (flag: string, text: string, min: number, max: number): Effect.Effect<number, BadInput> => {
  const time = duration.parse(text)
  const millis = time === undefined ? Number.NaN : Duration.toMillis(time)
  return millis >= min && millis <= max
    ? Effect.succeed(millis)
    : bad(`${flag}: no time such as 15m, 36h or 2 days, or out of bounds`)
}

// --- resolve

const resultLimitBytes = 262_144
const yearMillis = 31_536_000_000

/** @internal */
export const resolve = Command.make(
  "resolve",
  {
    ...storeOptions,
    ...named,
    as: Flag.Literals("as", ["succeeded", "refused", "never-happened"]).pipe(
      Flag.withDescription("What became of it, as the gateway says")
    ),
    fence: Flag.Int("fence").pipe(
      Flag.withDescription("The fence that inspect showed: what was looked at is what is settled")
    ),
    evidence: Flag.String("evidence").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("What this rests on: who looked where, and what stood there. It is part of the output")
    ),
    resultFile: Flag.String("result-file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription(
        "The answer of a succeeded or refused one, which later calls get: JSON as the operation's schema encodes it; - is stdin"
      ),
      Flag.optional
    ),
    ttl: Flag.String("ttl").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("How long that is kept (default: 24h)"),
      Flag.withDefault("24h")
    ),
    settle: Flag.String("settle").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription(
        "How long a request may still be under way, during which \"never\" is not believed (default: 5m). 0s where the gateway de-duplicates"
      ),
      Flag.withDefault("5m")
    ),
    yes: yesFlag,
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ as, evidence, fence, json, resultFile, settle, ttl, yes, ...options }) {
    const name = yield* nameOf(options)
    const words = yield* readReason("--evidence", evidence)
    const ttlMillis = yield* readTime("--ttl", ttl, 1000, 10 * yearMillis)
    const settleMillis = yield* readTime("--settle", settle, 0, yearMillis)
    const resolution = yield* readResolution(
      as,
      Option.getOrUndefined(resultFile),
      Option.getOrUndefined(options.keyFile)
    )
    yield* withStore(options, "write", (opened) =>
      Effect.gen(function*() {
        const { now, record } = yield* requireRecord(opened, name)
        yield* refuseEarly(resolution, record, now, fence, settleMillis)
        const store = yield* sealing(opened, record, resolution)
        if (record.fence === fence) yield* confirm(yes, `settle ${describe(record, now)} as ${as}`)
        const isSettled = yield* store.resolve({ ...record, fence, ttlMillis, resolution })
        const after = yield* lookup(opened, { ...name, _tag: "id", id: record })
        if (!isSettled) return yield* refusal(after, fence)
        yield* report(json, { outcome: "Settled", evidence: words }, after)
      }))
  })
).pipe(
  Command.withDescription(
    "Settles a record that nobody works on and nobody knows (Indeterminate, Parked, or a lapsed claim) with what was found "
      + "out at the gateway, under the key that inspect shows. It may be sent again: what was settled so stays so. Ends "
      + "with 1 when the record is finished, is worked on, or has changed since it was looked at"
  ),
  Command.withShortDescription("Settle a record that nobody knows"),
  Command.withExamples([
    {
      command:
        "payctl idempotency resolve rec_0123456789abcdef01234567 --fence 1764000000000 --as never-happened --evidence "
        + "\"PSP dashboard, no payment under ep1_0123; ada\"",
      description: "It surely did not happen: the key is free again, for the same payload"
    },
    {
      command:
        "payctl idempotency resolve rec_0123456789abcdef01234567 --fence 1764000000000 --as succeeded --result-file "
        + "answer.json --evidence \"PSP payment 8815, captured\" --yes --json",
      description: "It did happen: each later call gets this answer"
    }
  ])
)

const readResolution = Effect.fnUntraced(function*(
  as: "never-happened" | "refused" | "succeeded",
  resultFile: string | undefined,
  keyFile: string | undefined
) {
  if (as === "never-happened") {
    if (resultFile !== undefined) return yield* bad("--result-file: what never happened has no result")
    return { _tag: "NeverHappened" } as Resolution
  }
  if (resultFile === undefined) return yield* bad(`--as ${as} needs --result-file: the answer that later calls get`)
  if (resultFile === "-" && keyFile === "-") {
    return yield* bad("--key-file and --result-file: stdin can be one of them only")
  }
  // As the library writes it, so that it may be sent again with other spaces.
  const text = yield* readText("--result-file", resultFile, resultLimitBytes)
  const result = JSON.stringify(yield* parseJson("--result-file", text))
  return { _tag: as === "succeeded" ? "Succeeded" : "Refused", result } as Resolution
})

/** The gateway says that it has not seen it yet: the request may still come. */
const refuseEarly = Effect.fnUntraced(
  function*(resolution: Resolution, record: Record, now: number, fence: number, settleMillis: number) {
    if (resolution._tag !== "NeverHappened" || record.fence !== fence || !shown.isStuck(record, now)) return
    const left = shown.lastDeparture(record) + settleMillis - now
    if (left <= 0) return
    return yield* new Declined({
      what: `a request may still be under way, so "never happened" cannot be known for another ${
        duration.format(left)
      }: nothing was changed. Ask the gateway again then; --settle says how long a request may take`
    })
  }
)

const keyName = "PAYCTL_SEALING_KEY"

/** The store that a result is written through: sealed, where a key is given. */
const sealing = Effect.fnUntraced(function*({ store }: Opened, record: Record, resolution: Resolution) {
  if (resolution._tag === "NeverHappened") return store
  const key = yield* Effect.mapError(Config.option(Config.Redacted(keyName)), () => new BadInput({ what: keyName }))
  if (Option.isNone(key)) {
    if (yield* hasSealed(store, record)) {
      return yield* bad(
        `the results of this operation are sealed, and this one would not be: set ${keyName} to the id and the Base64 of `
          + "the service's current key, as in 2026-11:q83v…"
      )
    }
    return store
  }
  const [, id = "", text = ""] = /^([^:]*):(.*)$/.exec(Redacted.value(key.value)) ?? []
  const bytes = Base64.decode(text)
  if (Result.isFailure(bytes)) return yield* bad(`${keyName}: no id and Base64, as in 2026-11:q83v…`)
  const ring = { current: id, keys: { [id]: Redacted.make(bytes.success) } }
  const context = yield* Layer.build(
    IdempotencyStore.layerSealed(ring).pipe(
      Layer.provide(Layer.succeed(IdempotencyStore.IdempotencyStore, store)),
      Layer.provide(NodeCrypto.layer)
    )
  )
  return yield* Effect.provide(IdempotencyStore.IdempotencyStore, context)
}, Effect.scoped)

const sampleSize = 20

/** Whether some of the newest-known answers of the same operation are sealed. */
const hasSealed = (store: Opened["store"], { scope: { operation, tenant } }: Record) =>
  Effect.map(
    Effect.forEach(
      ["Succeeded", "Refused"] as const,
      (state) => store.list({ tenant, operation, state, limit: sampleSize })
    ),
    (pages) => pages.flat().some(({ result }) => result !== undefined && shown.sealedUnder(result) !== undefined)
  )

const refusal = (found: Effect.Success<ReturnType<typeof lookup>>, fence: number) => {
  if (found === undefined) return new Declined({ what: "the record is gone: nothing was changed" })
  const { now, record } = found
  const why = shown.isHeld(record) && record.leaseUntil > now
    ? `its owner works on it for another ${duration.format(record.leaseUntil - now)} at least`
    : shown.isStuck(record, now)
    ? `it has fence ${record.fence} and not ${fence}: somebody has worked on it since it was looked at`
    : `it is ${record.state} already`
  return new Declined({ what: `nothing was changed: ${why}. Inspect it again` })
}

// --- evict

/** @internal */
export const evict = Command.make(
  "evict",
  {
    ...storeOptions,
    ...named,
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why it goes. It is part of the output")
    ),
    yes: yesFlag,
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ json, reason, yes, ...options }) {
    const name: Name = yield* nameOf(options)
    const words = yield* readReason("--reason", reason)
    yield* withStore(options, "write", (opened) =>
      Effect.gen(function*() {
        const found = yield* lookup(opened, name)
        if (found === undefined) return yield* report(json, { outcome: "Absent", reason: words }, undefined)
        const { now, record } = found
        const why = whyHeld(found)
        if (why !== undefined) return yield* new Declined({ what: why })
        yield* confirm(yes, `forget ${describe(record, now)}: a later call with its key runs the operation anew`)
        const outcome = yield* opened.store.evict(record, { force: false })
        if (outcome !== "Held") return yield* report(json, { outcome, reason: words }, found)
        const after = yield* lookup(opened, { ...name, _tag: "id", id: record })
        return yield* new Declined({
          what: (after === undefined ? undefined : whyHeld(after)) ?? "it was taken meanwhile: nothing was changed"
        })
      }))
  })
).pipe(
  Command.withDescription(
    "Drops a record that is finished or free. A later call with its key runs the operation anew, so what has succeeded may "
      + "then be charged again. What is in flight or in doubt is not dropped: ends with 1 and says what to do instead. "
      + "It may be sent again: what is gone is gone"
  ),
  Command.withShortDescription("Drop a record that is finished"),
  Command.withExamples([
    {
      command:
        "payctl idempotency evict rec_0123456789abcdef01234567 --reason \"refused by a rule that was wrong; ada\"",
      description: "Let a refused payment be tried again under its key"
    }
  ])
)

/** Why a record must not be dropped, and what to do instead. */
const whyHeld = (
  { downstreamKeys, now, record }: Exclude<Effect.Success<ReturnType<typeof lookup>>, undefined>
): string | undefined => {
  if (!shown.isHeld(record) && !shown.isStuck(record, now)) return undefined
  const reference = shown.referenceOf(record)
  if (!shown.isStuck(record, now)) {
    return `${reference} is in flight: its owner works on it for another ${
      duration.format(record.leaseUntil - now)
    } at least, and without its record a second call would run beside it. Wait`
  }
  const sent = Object.entries(downstreamKeys).map(([phase, key]) => `${key} (${phase})`).join(", ")
  return `${reference} is in doubt (${
    shown.stateOf(record, now)
  }): it may have happened, and without its record it could `
    + `happen twice. Ask the gateway for ${sent}, then: payctl idempotency resolve ${reference} --fence ${record.fence} --as …`
}

const describe = (record: Record, now: number): string => {
  const { operation, reference, tenant, version } = shown.toShown(record, now)
  return `${reference} (${tenant}, ${operation} v${version}, ${shown.stateOf(record, now)})`
}

type Done =
  | { readonly outcome: "Settled"; readonly evidence: string }
  | { readonly outcome: "Absent" | "Evicted"; readonly reason: string }

const labels = {
  Settled: "settled",
  Evicted: "evicted. It was",
  Absent: "it was not there: nothing was to be done"
} as const

const report = (json: boolean, done: Done, found: Effect.Success<ReturnType<typeof lookup>>) => {
  if (json) {
    return Console.log(JSON.stringify(
      {
        ...done,
        record: found === undefined ? null : shown.toShown(found.record, found.now)
      },
      null,
      2
    ))
  }
  const [why, words] = "evidence" in done ? ["evidence", done.evidence] : ["reason", done.reason]
  const details = found === undefined
    ? []
    : shown.toRows(found.record, found.now, { downstreamKeys: found.downstreamKeys, withResult: false })
  return Console.log([labels[done.outcome], ...align([...details, [why, words]])].join("\n"))
}
