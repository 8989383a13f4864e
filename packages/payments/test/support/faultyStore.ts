/** A store that fails on a plan: a request is lost, a reply is lost, nothing ever comes back, all takes long. */
import { type Duration, Effect, Latch } from "effect"
import { IdempotencyStore } from "effect-payments"

export type Store = IdempotencyStore.IdempotencyStore["Service"]

export type Operation = "claim" | "complete" | "release" | "renew" | "inspect" | "resolve" | "list" | "evict" | "sweep"

/** What one call of an operation meets. `After`: the store has done it, and the caller is not told. */
export type Fault = "lostRequest" | "lostReply" | "hang" | "hangAfter" | { readonly delay: Duration.Input } | {
  readonly delayReply: Duration.Input
}

/**
 * The next faults of each operation, in order; after the end of a list all goes well. A function sees the number of the
 * call, from 1.
 */
export type Plan = { readonly [O in Operation]?: ReadonlyArray<Fault | "none"> | ((call: number) => Fault | undefined) }

export interface FaultyStore {
  readonly store: Store
  /** What the calls from now on meet. Replaces what is left of the plan before. */
  readonly plan: (plan: Plan) => void
  /** How many calls were made, by operation. */
  readonly calls: (operation: Operation) => number
  /** All round trips so far, renewals included. */
  readonly roundTrips: () => number
  /** The process stands still: what is asked for leaves, and what comes back is seen, after `thaw`. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** The process is gone: nothing that it still says is heard. */
  readonly cut: () => void
}

export const repeat = <F extends Fault>(fault: F, times: number): ReadonlyArray<F> =>
  Array.from({ length: times }, () => fault)

const lost = (operation: Operation) =>
  Effect.fail(new IdempotencyStore.StoreUnavailable({ operation, detail: "ConnectionError" }))

/**
 * `local`: what a store in this process answers at once is asked for in that way. It meets no fault then, but is still
 * counted and cut.
 */
export const make = (inner: Store, options: { readonly local?: boolean } = {}): FaultyStore => {
  const counts = new Map<Operation, number>()
  const gate = Latch.makeUnsafe(true)
  let planned: Plan = {}
  let positions = new Map<Operation, number>()
  let isCut = false

  const next = (operation: Operation): Fault | undefined => {
    // A store in this process loses nothing.
    if (options.local === true) return undefined
    const plan = planned[operation]
    const position = positions.get(operation) ?? 0
    positions.set(operation, position + 1)
    const fault = typeof plan === "function" ? plan(position + 1) : plan?.[position]
    return fault === "none" ? undefined : fault
  }

  const meet = <A>(
    operation: Operation,
    self: Effect.Effect<A, IdempotencyStore.StoreUnavailable>
  ): Effect.Effect<A, IdempotencyStore.StoreUnavailable> => {
    const fault = next(operation)
    switch (fault) {
      case undefined:
        return self
      case "lostRequest":
        return lost(operation)
      case "lostReply":
        return Effect.andThen(self, lost(operation))
      case "hang":
        return Effect.never
      case "hangAfter":
        return Effect.andThen(self, Effect.never)
      default:
        return "delay" in fault
          ? Effect.delay(self, fault.delay)
          : Effect.tap(self, Effect.sleep(fault.delayReply))
    }
  }

  const count = (operation: Operation): void => {
    counts.set(operation, (counts.get(operation) ?? 0) + 1)
  }

  const counted = (local: NonNullable<Store["local"]>): NonNullable<Store["local"]> => ({
    claim: (request) => {
      if (isCut) return new IdempotencyStore.StoreUnavailable({ operation: "claim", detail: "ConnectionError" })
      count("claim")
      return local.claim(request)
    },
    complete: (request) => {
      if (isCut) return false
      count("complete")
      return local.complete(request)
    }
  })

  const wrap = <A>(
    operation: Operation,
    self: Effect.Effect<A, IdempotencyStore.StoreUnavailable>,
    whenCut?: A
  ): Effect.Effect<A, IdempotencyStore.StoreUnavailable> =>
    Effect.suspend(() => {
      if (isCut) return whenCut === undefined ? lost(operation) : Effect.succeed(whenCut)
      count(operation)
      return gate.await.pipe(
        Effect.andThen(Effect.suspend(() => meet(operation, self))),
        Effect.tap(gate.await)
      )
    })

  return {
    store: {
      claim: (request) => wrap("claim", inner.claim(request)),
      complete: (request) => wrap("complete", inner.complete(request), false),
      release: (request) => wrap("release", inner.release(request), false),
      renew: (requests) => wrap("renew", inner.renew(requests), requests.map(() => false)),
      resolve: (request) => wrap("resolve", inner.resolve(request)),
      inspect: (id) => wrap("inspect", inner.inspect(id)),
      list: (request) => wrap("list", inner.list(request)),
      evict: (id, options) => wrap("evict", inner.evict(id, options)),
      sweep: (options) => wrap("sweep", inner.sweep(options)),
      ...inner.local !== undefined && options.local === true ? { local: counted(inner.local) } : {},
      ...inner.transactions === undefined ? {} : { transactions: inner.transactions }
    },
    plan: (plan) => {
      planned = plan
      positions = new Map()
    },
    calls: (operation) => counts.get(operation) ?? 0,
    roundTrips: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
    freeze: () => void gate.closeUnsafe(),
    thaw: () => void gate.openUnsafe(),
    cut: () => {
      isCut = true
    }
  }
}
