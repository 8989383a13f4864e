/**
 * What really happened at the services of a saga, whatever was told of it.
 *
 * @internal
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Ledger as GatewayLedger } from "../../../testing/TestGateway.ts"

/** @internal */
export interface Effected {
  readonly step: string
  readonly what: "done" | "undone"
  /** What the service knows the call by. */
  readonly key: string
}

/** @internal See `SagaTest.Ledger`. */
export class Ledger extends Context.Service<Ledger, {
  readonly done: (step: string, key?: string) => Effect.Effect<boolean>
  readonly undone: (step: string, key?: string) => Effect.Effect<boolean>
  readonly has: (step: string, key?: string) => Effect.Effect<boolean>
  readonly entries: Effect.Effect<ReadonlyArray<Effected>>
}>()("effect-payments/testing/SagaTest/Ledger") {}

/** @internal A service that answers a key that it knows as the first time. */
export const makeLedger = (): { readonly entries: Array<Effected>; readonly service: Ledger["Service"] } => {
  const entries: Array<Effected> = []
  const count = (step: string, key: string, what: Effected["what"]) =>
    entries.filter((entry) => entry.step === step && entry.key === key && entry.what === what).length
  const add = (what: Effected["what"], isKeyed: boolean, step: string, key: string) => {
    if (isKeyed && count(step, key, what) > 0) return false
    entries.push({ step, what, key })
    return true
  }
  return {
    entries,
    service: {
      done: (step, key) => Effect.sync(() => add("done", key !== undefined, step, key ?? "")),
      undone: (step, key) => Effect.sync(() => add("undone", key !== undefined, step, key ?? "")),
      has: (step, key = "") => Effect.sync(() => count(step, key, "done") > count(step, key, "undone")),
      entries: Effect.sync(() => [...entries])
    }
  }
}

/** @internal What a schedule left behind, in one form for all services. */
export interface Truth {
  readonly own: ReadonlyArray<Effected>
  readonly moved: ReadonlyArray<Effected>
  /** Per currency what is taken and not given back, and held and not released; undefined without a `TestGateway`. */
  readonly money: string | undefined
  readonly isMoneyLeft: boolean
}

/** @internal */
export type StepOfKey = (
  downstreamKey: string
) => { readonly step: string; readonly isUndo: boolean } | undefined

/** @internal */
export const truthOf = (
  own: ReadonlyArray<Effected>,
  gateway: GatewayLedger | undefined,
  stepOf: StepOfKey
): Truth => {
  const moved = gateway?.entries.map(({ downstreamKey, transaction }): Effected => ({
    step: stepOf(downstreamKey)?.step ?? transaction.kind,
    what: transaction.kind === "void" || transaction.kind === "refund" ? "undone" : "done",
    key: downstreamKey
  }))
  const totals = Object.entries(gateway?.totals ?? {}).map(([currency, { held, net }]) => ({
    text: `${currency} ${BigDecimal.format(net.amount)} taken, ${BigDecimal.format(held.amount)} held`,
    isLeft: !BigDecimal.isZero(net.amount) || !BigDecimal.isZero(held.amount)
  }))
  return {
    own,
    moved: moved ?? [],
    money: gateway === undefined ? undefined : totals.map(({ text }) => text).sort().join("; "),
    isMoneyLeft: totals.some(({ isLeft }) => isLeft)
  }
}

/** @internal Of which something was done and not undone. */
export const standing = (entries: ReadonlyArray<Effected>): ReadonlySet<string> => {
  const count = (step: string, key: string, what: Effected["what"]) =>
    entries.filter((entry) => entry.step === step && entry.key === key && entry.what === what).length
  return new Set(
    entries.filter(({ key, step }) => count(step, key, "done") > count(step, key, "undone")).map(({ step }) => step)
  )
}

/** @internal The same call that had its effect twice. */
export const twice = (entries: ReadonlyArray<Effected>): Effected | undefined =>
  entries.find((entry, index) =>
    entries.slice(0, index).some(({ key, step, what }) =>
      key === entry.key && step === entry.step && what === entry.what
    )
  )
