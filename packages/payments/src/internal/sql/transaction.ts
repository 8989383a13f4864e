/**
 * Whether a fiber is in a transaction of any SQL client.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"

/**
 * The reference under which Effect's clients keep the transaction that is begun last. Effect does not export it; under
 * another name no transaction would be seen, and the tests of what asks here would fail.
 */
const Current = Context.Reference<unknown>("effect/sql/CurrentTransactionService", { defaultValue: () => undefined })

/** @internal */
export const isInside = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.getRef(Current) !== undefined
