/**
 * The saga log over a map.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SagaLog } from "../../SagaLog.ts"
import * as ledger from "./ledger.ts"
import {
  type History,
  isLimit,
  listLimitMax,
  type RunId,
  type SignalReply,
  type SignalRequest,
  signalsMax,
  sweepLimitMax
} from "./record.ts"
import { limitExceeded, LogUnavailable } from "./unavailable.ts"

/** @internal */
export interface Options {
  readonly capacity: number
}

/** @internal */
export const make = (options: Options): Effect.Effect<SagaLog["Service"], LogUnavailable> =>
  Number.isSafeInteger(options.capacity) && options.capacity >= 1
    ? Effect.map(Clock.Clock, (clock) => fromClock(options.capacity, () => clock.currentTimeMillisUnsafe()))
    : Effect.fail(new LogUnavailable({ operation: "start", detail: "capacity must be a whole number from 1" }))

const fromClock = (capacity: number, clock: () => number): SagaLog["Service"] => {
  const rows = new Map<string, ledger.Row>()
  const signals = new Map<string, ReadonlyArray<Signal>>()
  const update = (
    { key }: RunId,
    transition: (row: ledger.Row | undefined, now: number) => ledger.Row | undefined
  ): ledger.Row | undefined => {
    const next = transition(rows.get(key), clock())
    if (next !== undefined) rows.set(key, next)
    return next
  }

  return {
    isLocal: true,
    claim: (request) =>
      Effect.suspend(() => {
        if (request.opening !== undefined && rows.size >= capacity && !rows.has(request.key)) {
          return Effect.fail(new LogUnavailable({ operation: "claim", detail: "Full" }))
        }
        const row = update(request, (row, now) => ledger.claim(row, request, now))
        return Effect.succeed(row === undefined ? undefined : historyOf(row, clock()))
      }),
    append: (request) =>
      Effect.sync(() => {
        const row = ledger.append(rows.get(request.key), request, clock())
        if (row !== undefined) rows.set(request.key, row)
        return {
          appended: row !== undefined,
          cancelRequested: row?.run.cancelRequested ?? false,
          pauseRequested: row?.run.pauseRequested
        }
      }),
    renew: (requests) =>
      Effect.sync(() =>
        requests.map((request) => update(request, (row, now) => ledger.renew(row, request, now)) !== undefined)
      ),
    release: (request) => Effect.sync(() => update(request, (row) => ledger.release(row, request)) !== undefined),
    cancel: (id) => Effect.sync(() => update(id, (row) => row === undefined ? undefined : ledger.cancel(row))?.run),
    pause: (request) =>
      Effect.sync(() => update(request, (row) => row === undefined ? undefined : ledger.pause(row, request))?.run),
    ...receiving(rows, signals, capacity, clock),
    ...finding(rows, signals, clock)
  }
}

interface Signal extends SignalRequest {
  readonly at: number
}

const receiving = (
  rows: ReadonlyMap<string, ledger.Row>,
  signals: Map<string, ReadonlyArray<Signal>>,
  capacity: number,
  clock: () => number
): Pick<SagaLog["Service"], "inbox" | "signal"> => ({
  signal: (request) =>
    Effect.suspend(() => {
      const own = signals.get(request.key) ?? []
      if (own.length === 0 && signals.size >= capacity) {
        return Effect.fail(new LogUnavailable({ operation: "signal", detail: "Full" }))
      }
      return Effect.sync((): SignalReply => {
        if (own.some(({ event, step }) => event === request.event && step === request.step)) return "Known"
        if (own.length >= signalsMax) return "Full"
        signals.set(request.key, [...own, { ...request, at: clock() }])
        return "Kept"
      })
    }),
  inbox: (requests) =>
    Effect.sync(() =>
      requests.map(({ except, key, step }) => {
        const run = rows.get(key)?.run
        const found = signals.get(key)?.find((signal) => signal.step === step && !except?.includes(signal.event))
        return {
          event: found?.event,
          at: found?.at,
          value: found?.value,
          cancelRequested: run?.cancelRequested ?? false,
          pauseRequested: run?.pauseRequested
        }
      })
    )
})

const finding = (
  rows: Map<string, ledger.Row>,
  signals: Map<string, ReadonlyArray<Signal>>,
  clock: () => number
): Pick<SagaLog["Service"], "list" | "orphans" | "read" | "sweep"> => ({
  orphans: (request) =>
    isLimit(request.limit, listLimitMax)
      ? Effect.sync(() => {
        const now = clock()
        const found = Array.from(rows.values()).filter((row) => ledger.isOrphan(row, request, now))
        return found.sort((a, b) => a.run.leaseUntil - b.run.leaseUntil).slice(0, request.limit).map((row) => {
          const adopted = ledger.adopt(row, request, now)
          rows.set(row.run.key, adopted)
          return historyOf(adopted, now)
        })
      })
      : limitExceeded("orphans", listLimitMax),
  read: ({ key }) =>
    Effect.sync(() => {
      const row = rows.get(key)
      return row === undefined ? undefined : historyOf(row, clock())
    }),
  list: (request) =>
    isLimit(request.limit, listLimitMax)
      ? Effect.sync(() => {
        const now = clock()
        const page = Array.from(rows.values(), ({ run }) => run).filter((run) => ledger.isListed(run, request, now))
        return page.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, request.limit)
      })
      : limitExceeded("list", listLimitMax),
  sweep: (request) =>
    isLimit(request.limit, sweepLimitMax)
      ? Effect.sync(() => {
        const now = clock()
        const found = Array.from(rows.values()).filter(({ run }) => ledger.isSwept(run, request, now))
        const swept = found.slice(0, request.limit)
        for (const { run } of swept) {
          rows.delete(run.key)
          signals.delete(run.key)
        }
        for (const [key, [first]] of signals) {
          if (!rows.has(key) && first !== undefined && first.at + request.olderThanMillis <= now) signals.delete(key)
        }
        return swept.length
      })
      : limitExceeded("sweep", sweepLimitMax)
})

const historyOf = ({ entries, run }: ledger.Row, now: number): History => ({ run, entries, now })
