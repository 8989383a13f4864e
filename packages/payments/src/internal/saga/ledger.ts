/**
 * What a saga log does with one run, pure: the memory log is these functions over a map, and the SQL log is tested
 * against it.
 *
 * @internal
 */
import {
  type AppendRequest,
  type ClaimRequest,
  type Entry,
  isUnfinished,
  type ListRequest,
  type OrphansRequest,
  type Ownership,
  type PauseRequest,
  type RenewRequest,
  type Run,
  stepOf,
  type SweepRequest
} from "./record.ts"

/** @internal */
export interface Row {
  readonly run: Run
  readonly entries: ReadonlyArray<Entry>
}

/** @internal The row after a claim: the same object when the claim changes nothing. */
export const claim = (row: Row | undefined, request: ClaimRequest, now: number): Row | undefined => {
  const { opening } = request
  if (row === undefined) return opening === undefined ? undefined : open(request, opening, now)
  const { run } = row
  if (opening !== undefined && run.fingerprint !== opening.fingerprint) return row
  if (run.owner === request.owner && run.leaseUntil !== 0) {
    const leaseUntil = Math.max(run.leaseUntil, now + request.leaseMillis)
    return { ...row, run: { ...run, leaseUntil, updatedAt: now } }
  }
  const isOpen = isUnfinished(run.state) ||
    (request.reopen !== undefined && request.reopen !== false && isStuck(run)) ||
    (request.reopen === "Completed" && run.state === "Completed")
  return isOpen && run.leaseUntil <= now ? take(row, request, now) : row
}

const open = (request: ClaimRequest, opening: NonNullable<ClaimRequest["opening"]>, now: number): Row => {
  const epoch = Math.max(1, now)
  const { definition, events, fingerprint, payload, state } = opening
  return {
    run: {
      key: request.key,
      saga: request.saga,
      id: request.id,
      fingerprint,
      definition,
      payload,
      state,
      owner: request.owner,
      epoch,
      leaseUntil: isUnfinished(state) ? now + request.leaseMillis : 0,
      length: 1,
      cancelRequested: false,
      pauseRequested: undefined,
      step: stepOf(events),
      createdAt: now,
      updatedAt: now
    },
    entries: [{ seq: 1, epoch, at: now, state, events }]
  }
}

const take = (row: Row, by: { readonly owner: string; readonly leaseMillis: number }, now: number): Row => ({
  ...row,
  run: {
    ...row.run,
    owner: by.owner,
    epoch: Math.max(row.run.epoch + 1, now),
    leaseUntil: now + by.leaseMillis,
    updatedAt: now
  }
})

const isStuck = ({ state }: Run): boolean => state === "Parked" || state === "FailedCompensation"

const owns = ({ run }: Row, request: Ownership): boolean => run.owner === request.owner && run.epoch === request.epoch

/** @internal The row after an append; undefined when the caller no longer owns it. */
export const append = (row: Row | undefined, request: AppendRequest, now: number): Row | undefined => {
  if (row === undefined || !owns(row, request)) return undefined
  const { run } = row
  const { events, seq, state } = request
  if (seq === run.length) {
    // The reply was lost and the owner asks again.
    const last = row.entries.at(-1)
    return last?.epoch === run.epoch && JSON.stringify(last.events) === JSON.stringify(events) ? row : undefined
  }
  if (seq !== run.length + 1) return undefined
  return {
    run: {
      ...run,
      state,
      length: seq,
      step: stepOf(events) ?? run.step,
      pauseRequested: isUnfinished(state) ? run.pauseRequested : undefined,
      leaseUntil: isUnfinished(state) ? run.leaseUntil : 0,
      updatedAt: now
    },
    entries: [...row.entries, { seq, epoch: run.epoch, at: now, state, events }]
  }
}

/** @internal Never shortens; undefined when the caller no longer holds it. */
export const renew = (row: Row | undefined, request: RenewRequest, now: number): Row | undefined =>
  row !== undefined && owns(row, request) && row.run.leaseUntil !== 0
    ? {
      ...row,
      run: { ...row.run, leaseUntil: Math.max(row.run.leaseUntil, now + request.leaseMillis) }
    }
    : undefined

/** @internal Any owner may go on at once. */
export const release = (row: Row | undefined, request: Ownership): Row | undefined =>
  row !== undefined && owns(row, request) ? { ...row, run: { ...row.run, leaseUntil: 0 } } : undefined

/** @internal What unwinds already, or has ended, is left alone. */
export const cancel = (row: Row): Row =>
  row.run.state === "Running" || row.run.state === "Parked"
    ? { ...row, run: { ...row.run, cancelRequested: true } }
    : row

/** @internal What is not under way cannot be paused. */
export const pause = (row: Row, { note }: PauseRequest): Row =>
  isUnfinished(row.run.state) ? { ...row, run: { ...row.run, pauseRequested: note } } : row

/** @internal */
export const isOrphan = ({ run }: Row, request: OrphansRequest, now: number): boolean =>
  isUnfinished(run.state) && run.leaseUntil <= now && request.sagas.includes(run.saga) &&
  request.except?.includes(run.key) !== true

/** @internal */
export const adopt = (row: Row, request: OrphansRequest, now: number): Row => take(row, request, now)

/** @internal */
export const isListed = (run: Run, request: ListRequest, now: number): boolean => {
  const { after, saga, state, step, untouchedMillis } = request
  return (after === undefined || run.key > after) && (saga === undefined || run.saga === saga) &&
    (state === undefined || run.state === state) && (step === undefined || run.step === step) &&
    (untouchedMillis === undefined || run.updatedAt + untouchedMillis <= now)
}

/** @internal */
export const isSwept = (run: Run, { olderThanMillis }: SweepRequest, now: number): boolean =>
  (run.state === "Completed" || run.state === "Compensated") && run.updatedAt + olderThanMillis <= now
