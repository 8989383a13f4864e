/**
 * The gateway behind the server: keys, cards, faults and the ledger.
 *
 * What has been received is processed, whether or not the client waits for the answer: the work runs in a fiber of the
 * server. One answer per key: the first is kept and given again, a refusal too.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { type Answer, Books, type Refusal } from "./Books.ts"
import { verdictOf } from "./Cards.ts"
import { byChance, type Fault, isBefore, isForLookups, parse } from "./Faults.ts"
import * as Webhooks from "./Webhooks.ts"
import { failure, type Ledger, type Operation, type Planned, type Reply, type Transaction } from "./Wire.ts"

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

/** What is known of a key. Without a reply it is in flight. */
interface Kept {
  readonly fingerprint: string
  readonly reply: Reply | undefined
}

interface State {
  readonly options: Options
  readonly webhooks: Webhooks.Webhooks
  readonly kept: Map<string, Kept>
  readonly attempts: Map<string, number>
  readonly lookups: Map<string, number>
  readonly rows: Array<Operation & { readonly at: number }>
  readonly plans: Array<{ readonly match: typeof Planned.Type; readonly faults: Array<Fault> }>
  books: Books
}

const none: Fault = { name: "none" }
const atCapacity = failure(503, "unavailable", "capacity", { processed: false })
export const unprocessed = failure(503, "unavailable", "maintenance", { processed: false })
const planMalformed = failure(400, "invalid_request", "plan_malformed", { field: "x-sim-plan" })
const plansMax = 1000

export const make = Effect.fnUntraced(function*(options: Options) {
  const scope = yield* Effect.scope
  const state: State = {
    options,
    webhooks: yield* Webhooks.make,
    kept: new Map(),
    attempts: new Map(),
    lookups: new Map(),
    rows: [],
    plans: [],
    books: new Books()
  }
  return {
    webhooks: state.webhooks,
    operate: Effect.fnUntraced(function*(incoming: Incoming): Effect.fn.Return<Handled> {
      const header = incoming.plan === undefined ? Result.succeed([]) : parse(incoming.plan)
      if (Result.isFailure(header)) return { fault: none, reply: planMalformed }
      const attempt = countAttempt(state, incoming.key)
      if (attempt === undefined) return { fault: none, reply: atCapacity }
      const fault = header.success[attempt - 1] ?? (yield* faultOf(state, incoming, attempt))
      if (isBefore(fault)) return { fault, reply: unprocessed }
      const working = yield* Effect.forkIn(process(state, incoming, fault), scope)
      if (fault.name === "duplicate") yield* Effect.forkIn(process(state, incoming, none), scope)
      return { fault, reply: yield* Fiber.join(working) }
    }),
    lookup: (key: string): { readonly fault: Fault; readonly known: Kept | undefined } => {
      // Keys that nobody has sent are not counted: anybody can make up more of them.
      if (state.attempts.has(key)) state.lookups.set(key, (state.lookups.get(key) ?? 0) + 1)
      return { fault: planned(state, key, undefined, true) ?? none, known: state.kept.get(key) }
    },
    /** What a request that only reads meets: what is planned for this key. */
    read: (key: string): Fault => planned(state, key, undefined, false) ?? none,
    plan: (match: typeof Planned.Type): Result.Result<void, string> =>
      Result.gen(function*() {
        const faults = yield* parse(Array.from({ length: match.times ?? 1 }, () => match.plan).join(","))
        if (state.plans.length >= plansMax) return yield* Result.fail(`more than ${plansMax} plans`)
        state.plans.push({ match, faults: [...faults] })
      }),
    /** What the payer has made of a challenge. */
    answer: (challengeId: string, answer: Answer) => answered(state, challengeId, answer),
    reset: (): void => {
      state.books = new Books()
      state.kept.clear()
      state.attempts.clear()
      state.lookups.clear()
      state.rows.length = 0
      state.plans.length = 0
    },
    ledger: (): Ledger => ({
      ...ledgerOf(state.rows),
      operations: state.rows.map((row) => ({
        ...row,
        requests: state.attempts.get(row.key) ?? 0,
        lookups: state.lookups.get(row.key) ?? 0
      }))
    })
  }
})

const answered = Effect.fnUntraced(function*(
  { books, webhooks }: State,
  challengeId: string,
  answer: Answer
): Effect.fn.Return<Result.Result<void, string>> {
  const account = books.answer(challengeId, answer)
  if ("code" in account) return Result.fail(account.code)
  const { id: transactionId, merchantReference } = account
  yield* webhooks.emit(`challenge.${answer}`, { kind: "challenge", status: answer, transactionId, merchantReference })
  return Result.void
})

export interface Simulator extends Effect.Success<ReturnType<typeof make>> {}

/** Undefined: there is no room for more. */
const countAttempt = ({ attempts, options, rows }: State, key: string): number | undefined => {
  const known = attempts.get(key)
  if (rows.length >= options.operationsMax) return undefined
  if (known === undefined && attempts.size >= options.operationsMax) return undefined
  const attempt = (known ?? 0) + 1
  attempts.set(key, attempt)
  return attempt
}

const planned = ({ plans }: State, key: string, token: string | undefined, lookup: boolean): Fault | undefined => {
  const index = plans.findIndex(({ faults: [fault], match }) =>
    fault !== undefined && isForLookups(fault) === lookup &&
    (match.key === undefined || match.key === key) && (match.token === undefined || match.token === token)
  )
  const plan = plans[index]
  const fault = plan?.faults.shift()
  if (plan?.faults.length === 0) plans.splice(index, 1)
  return fault
}

const faultOf = Effect.fnUntraced(function*(state: State, { key, token }: Incoming, attempt: number) {
  const fault = planned(state, key, token, false)
  const { faultRate, seed } = state.options
  if (fault !== undefined || faultRate === 0) return fault ?? none
  // Seeded by key and attempt, so that a run repeats whatever the order of its requests.
  const [roll, pick] = yield* Effect.all([Random.next, Random.nextIntBetween(0, byChance.length)]).pipe(
    Random.withSeed(`${seed}:${key}:${attempt}`)
  )
  const name = byChance[pick]
  return roll < faultRate && name !== undefined ? { name } : none
})

const process = Effect.fnUntraced(function*(state: State, incoming: Incoming, fault: Fault): Effect.fn.Return<Reply> {
  const { kept, options } = state
  if (fault.name === "late") yield* Effect.sleep(fault.value)
  const seen = kept.get(incoming.key)
  if (seen !== undefined && options.deduplicates) return again(seen, incoming)
  const { fingerprint } = incoming
  if (seen === undefined) kept.set(incoming.key, { fingerprint, reply: undefined })
  const millis = options.latencyMillis + (fault.name === "delay" ? fault.value : 0)
  if (millis > 0) yield* Effect.sleep(millis)
  const reply = execute(state.books, incoming, fault)
  if ("error" in reply.body && reply.body.error.processed === false) {
    if (seen === undefined) kept.delete(incoming.key)
    return reply
  }
  // A look-up shows what happened, though a later delivery may have been refused.
  if (kept.get(incoming.key)?.reply?.status !== 201) kept.set(incoming.key, { fingerprint, reply })
  yield* record(state, incoming, reply)
  return reply
})

const again = (seen: Kept, { fingerprint }: Incoming): Reply => {
  if (seen.fingerprint !== fingerprint) return failure(422, "invalid_request", "idempotency_key_reused")
  return seen.reply === undefined
    ? failure(409, "in_flight", "idempotency_key_in_flight", {}, { "retry-after": "1" })
    : { ...seen.reply, headers: { ...seen.reply.headers, "idempotent-replayed": "true" } }
}

const execute = (books: Books, incoming: Incoming, fault: Fault): Reply => {
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

const record = Effect.fnUntraced(function*({ rows, webhooks }: State, incoming: Incoming, { body }: Reply) {
  const { amountMinor, currency, key, kind } = incoming
  const row: Operation = "error" in body
    ? { key, kind, status: "refused", amountMinor, currency, code: body.error.code }
    : {
      key,
      kind,
      status: body.status,
      amountMinor: body.amountMinor,
      currency: body.currency,
      transactionId: body.id,
      challengeId: body.challenge?.id,
      merchantReference: body.merchantReference
    }
  rows.push({ ...row, at: yield* Clock.currentTimeMillis })
  yield* webhooks.emit(`${kind}.${row.status === "refused" ? "refused" : "succeeded"}`, row)
})

const declined = (code: string): Reply => failure(402, "card_error", code)

const challenged = (key: string): Reply =>
  failure(402, "authentication_required", "authentication_required", {
    challenge: { id: `3ds_${key}`.slice(0, 255), url: `https://acs.example/challenge/${encodeURIComponent(key)}` }
  })

const ledgerOf = (rows: ReadonlyArray<Operation>): Omit<Ledger, "operations"> => {
  const done = rows.filter(({ status }) => status !== "refused")
  const currencies = [...new Set(done.flatMap(({ currency }) => currency ?? []))]
  return {
    charges: done.filter(({ kind }) => kind === "authorize").length,
    totals: Object.fromEntries(currencies.map((currency) => [currency, totalsOf(done, currency)]))
  }
}

const totalsOf = (rows: ReadonlyArray<Operation>, currency: string): Ledger["totals"][string] => {
  const sum = (includes: (row: Operation) => boolean) =>
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
