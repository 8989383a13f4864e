/**
 * The gateway behind the server: keys, cards, faults and the ledger.
 *
 * What has been received is processed, whether or not the client waits for the answer: the work runs in a fiber of the
 * server. One answer per key: the first is kept and given again, a refusal too.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { Books, type Refusal } from "./Books.ts"
import { verdictOf } from "./Cards.ts"
import { byChance, type Fault, isBefore, isForLookups, parse } from "./Faults.ts"
import * as Webhooks from "./Webhooks.ts"
import { failure, type Ledger, type LedgerRow, type Planned, type Reply, type Transaction } from "./Wire.ts"

export interface Options {
  readonly seed: number
  readonly deduplicates: boolean
  readonly faultRate: number
  readonly latencyMillis: number
  readonly operationsMax: number
}

/** A request that moves money, decoded. */
export interface Incoming {
  readonly kind: Transaction["kind"]
  readonly key: string
  /** The same key with another one of these is refused. */
  readonly fingerprint: string
  readonly token?: string | undefined
  readonly plan?: string | undefined
  readonly amountMinor?: string | undefined
  readonly currency?: string | undefined
  readonly execute: (books: Books) => Transaction | Refusal
}

/** The answer, and what becomes of it on its way. */
export interface Handled {
  readonly fault: Fault
  readonly reply: Reply
}

interface Kept {
  readonly fingerprint: string
  reply: Reply | undefined
}

const none: Fault = { name: "none" }
const atCapacity = failure(503, "unavailable", "capacity", { processed: false })
const unprocessed = failure(503, "unavailable", "maintenance", { processed: false })
const plansMax = 1000

export const make = Effect.fnUntraced(function*(options: Options) {
  const scope = yield* Effect.scope
  const webhooks = yield* Webhooks.make
  let books = new Books()
  const kept = new Map<string, Kept>()
  const attempts = new Map<string, number>()
  const rows: Array<LedgerRow> = []
  const plans: Array<{ readonly match: typeof Planned.Type; readonly faults: Array<Fault> }> = []

  const planned = (key: string, token: string | undefined, lookup: boolean): Fault | undefined => {
    const index = plans.findIndex(({ faults: [fault], match }) =>
      fault !== undefined && isForLookups(fault) === lookup &&
      (match.key === undefined || match.key === key) && (match.token === undefined || match.token === token)
    )
    const plan = plans[index]
    const fault = plan?.faults.shift()
    if (plan?.faults.length === 0) plans.splice(index, 1)
    return fault
  }

  const faultOf = Effect.fnUntraced(function*(incoming: Incoming, header: ReadonlyArray<Fault>, attempt: number) {
    const fault = header[attempt - 1] ?? planned(incoming.key, incoming.token, false)
    if (fault !== undefined || options.faultRate === 0) return fault ?? none
    // Seeded by key and attempt, so that a run repeats whatever the order of its requests.
    const [roll, pick] = yield* Effect.all([Random.next, Random.nextIntBetween(0, byChance.length)]).pipe(
      Random.withSeed(`${options.seed}:${incoming.key}:${attempt}`)
    )
    const name = byChance[pick]
    return roll < options.faultRate && name !== undefined ? { name } : none
  })

  const execute = (incoming: Incoming, fault: Fault): Reply => {
    if (fault.name === "decline") return declined(fault.code)
    const verdict = incoming.token === undefined ? { _tag: "Approved" as const } : verdictOf(incoming.token)
    switch (verdict?._tag) {
      case undefined:
        return failure(400, "invalid_request", "unknown_token", { field: "token" })
      case "Declined":
        return declined(verdict.code)
      case "Challenge":
        return challenged(incoming.key)
      case "RateLimited":
        return failure(429, "rate_limited", "too_many_requests", { processed: false }, { "retry-after": "1" })
      case "Unavailable":
        return unprocessed
      case "Approved": {
        const done = incoming.execute(books)
        return "id" in done
          ? { status: 201, body: done }
          : failure(400, "invalid_request", done.code, { field: done.field })
      }
    }
  }

  const record = (incoming: Incoming, { body }: Reply): Effect.Effect<void> => {
    const { amountMinor, currency, key, kind } = incoming
    const row: LedgerRow = "error" in body
      ? { key, kind, status: "refused", amountMinor, currency, code: body.error.code }
      : {
        key,
        kind,
        status: body.status,
        amountMinor: body.amountMinor,
        currency: body.currency,
        transactionId: body.id
      }
    rows.push(row)
    return webhooks.emit(`${kind}.${row.status === "refused" ? "refused" : "succeeded"}`, row)
  }

  const process = Effect.fnUntraced(function*(incoming: Incoming, fault: Fault): Effect.fn.Return<Reply> {
    if (fault.name === "late") yield* Effect.sleep(fault.value)
    const seen = kept.get(incoming.key)
    if (seen !== undefined && options.deduplicates) return again(seen, incoming)
    const mine: Kept = { fingerprint: incoming.fingerprint, reply: undefined }
    if (seen === undefined) kept.set(incoming.key, mine)
    const millis = options.latencyMillis + (fault.name === "delay" ? fault.value : 0)
    if (millis > 0) yield* Effect.sleep(millis)
    const reply = execute(incoming, fault)
    if ("error" in reply.body && reply.body.error.processed === false) {
      if (seen === undefined) kept.delete(incoming.key)
      return reply
    }
    // A look-up shows what happened, though a later delivery may have been refused.
    const known = kept.get(incoming.key)
    if (known?.reply?.status !== 201) kept.set(incoming.key, { ...mine, reply })
    yield* record(incoming, reply)
    return reply
  })

  return {
    webhooks,
    operate: Effect.fnUntraced(function*(incoming: Incoming): Effect.fn.Return<Handled> {
      const header = incoming.plan === undefined ? Result.succeed([]) : parse(incoming.plan)
      if (Result.isFailure(header)) {
        return { fault: none, reply: failure(400, "invalid_request", "plan_malformed", { field: "x-sim-plan" }) }
      }
      const known = attempts.get(incoming.key)
      if (rows.length >= options.operationsMax || (known === undefined && attempts.size >= options.operationsMax)) {
        return { fault: none, reply: atCapacity }
      }
      const attempt = (known ?? 0) + 1
      attempts.set(incoming.key, attempt)
      const fault = yield* faultOf(incoming, header.success, attempt)
      if (isBefore(fault)) return { fault, reply: unprocessed }
      const working = yield* Effect.forkIn(process(incoming, fault), scope)
      if (fault.name === "duplicate") yield* Effect.forkIn(process(incoming, none), scope)
      return { fault, reply: yield* Fiber.join(working) }
    }),
    lookup: (key: string): { readonly fault: Fault; readonly state: Kept | undefined } => ({
      fault: planned(key, undefined, true) ?? none,
      state: kept.get(key)
    }),
    plan: (match: typeof Planned.Type): Result.Result<void, string> =>
      Result.gen(function*() {
        const faults = yield* parse(Array.from({ length: match.times ?? 1 }, () => match.plan).join(","))
        if (plans.length >= plansMax) return yield* Result.fail(`more than ${plansMax} plans`)
        plans.push({ match, faults: [...faults] })
      }),
    reset: (): void => {
      books = new Books()
      kept.clear()
      attempts.clear()
      rows.length = 0
      plans.length = 0
    },
    ledger: (): Ledger => ledgerOf(rows)
  }
})

export interface Simulator extends Effect.Success<ReturnType<typeof make>> {}

const declined = (code: string): Reply => failure(402, "card_error", code)

const challenged = (key: string): Reply =>
  failure(402, "authentication_required", "authentication_required", {
    challenge: { id: `3ds_${key}`.slice(0, 255), url: `https://acs.example/challenge/${encodeURIComponent(key)}` }
  })

const again = (seen: Kept, { fingerprint }: Incoming): Reply => {
  if (seen.fingerprint !== fingerprint) return failure(422, "invalid_request", "idempotency_key_reused")
  return seen.reply === undefined
    ? failure(409, "in_flight", "idempotency_key_in_flight", {}, { "retry-after": "1" })
    : { ...seen.reply, headers: { ...seen.reply.headers, "idempotent-replayed": "true" } }
}

const ledgerOf = (rows: ReadonlyArray<LedgerRow>): Ledger => {
  const done = rows.filter(({ status }) => status !== "refused")
  const currencies = [...new Set(done.flatMap(({ currency }) => currency ?? []))]
  return {
    charges: done.filter(({ kind }) => kind === "authorize").length,
    operations: [...rows],
    totals: Object.fromEntries(currencies.map((currency) => [currency, totalsOf(done, currency)]))
  }
}

const totalsOf = (rows: ReadonlyArray<LedgerRow>, currency: string): Ledger["totals"][string] => {
  const sum = (includes: (row: LedgerRow) => boolean) =>
    rows.filter((row) => row.currency === currency && includes(row))
      .reduce((total, { amountMinor }) => total + BigInt(amountMinor ?? "0"), 0n)
  const captured = sum(({ status }) => status === "captured")
  const refunded = sum(({ kind }) => kind === "refund")
  return {
    charged: String(sum(({ kind }) => kind === "authorize")),
    captured: String(captured),
    voided: String(sum(({ kind }) => kind === "void")),
    refunded: String(refunded),
    net: String(captured - refunded)
  }
}
