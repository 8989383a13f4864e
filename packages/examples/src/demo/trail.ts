/**
 * What was done for an order, as those who did it have written it down: the journals of the services, and the gateway's
 * ledger.
 */
import { Effect } from "effect"
import type { Order } from "../checkout/Order.ts"
import { Services } from "../services/start.ts"
import type { Row } from "./Scenario.ts"

const undos: ReadonlySet<string> = new Set(["release", "reverse", "refund", "void"])

/** Deeds, oldest first; `done` forward, `undone` backwards. Refusals are left out. */
export const trailOf = Effect.fnUntraced(function*({ orderId }: Order, rows: ReadonlyArray<Row>) {
  const { deeds } = yield* Services
  const all = [
    ...(yield* deeds(orderId)).filter(({ outcome }) => outcome === "done")
      .map(({ at, operation, service }) => ({ at, service, operation })),
    ...rows.filter(({ status }) => status !== "refused")
      .map(({ at, kind }) => ({ at, service: "gateway", operation: kind as string }))
  ].sort((a, b) => a.at - b.at)
  const textOf = (isUndo: boolean) =>
    all.filter(({ operation }) => undos.has(operation) === isUndo)
      .map(({ operation, service }) => `${service} ${operation}`).join(", ")
  return { done: textOf(false), undone: textOf(true) }
})
