/**
 * A sliding window as the log of what is in it: exact to the millisecond while it holds all, a lower bound from when it
 * had to drop something. What every store does, written down once; the memory store runs it.
 *
 * @internal
 */
import type { Event, Measure } from "./event.ts"

/** @internal An attempt that counts. */
export interface Entry {
  readonly at: number
  readonly attempt: string
  readonly amount: bigint
  readonly value: string
}

/** @internal Entries in the order in which they came; `droppedAt` is the time of the newest that had to go. */
export interface Log {
  readonly entries: ReadonlyArray<Entry>
  readonly droppedAt: number
}

/** @internal */
export const empty: Log = { entries: [], droppedAt: Number.NEGATIVE_INFINITY }

/**
 * @internal An attempt that is in the window already stays where it is. With another amount or value it is another one: who
 * tries card after card under one attempt is to be seen.
 */
export const record = (log: Log, event: Event, now: number): Log => {
  const since = now - event.windowMillis
  const live = log.entries.filter(({ at }) => at > since)
  if (live.some((entry) => isSame(entry, event))) return { ...log, entries: live }
  const { amount, attempt, value } = event
  live.push({ at: now, attempt, amount, value })
  const dropped = live.splice(0, Math.max(0, live.length - event.eventsMax))
  return { entries: live, droppedAt: dropped.reduce((latest, { at }) => Math.max(latest, at), log.droppedAt) }
}

const isSame = (entry: Entry, { amount, attempt, value }: Event): boolean =>
  entry.attempt === attempt && entry.amount === amount && entry.value === value

/** @internal */
export const measure = ({ droppedAt, entries }: Log, windowMillis: number, now: number): Measure => {
  const since = now - windowMillis
  let count = 0
  let sum = 0n
  const values = new Set<string>()
  for (const { amount, at, value } of entries) {
    if (at <= since) continue
    count++
    sum += amount
    if (value !== "") values.add(value)
  }
  return { count, sum, distinct: values.size, isLowerBound: droppedAt > since }
}
