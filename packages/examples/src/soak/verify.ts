/**
 * What has to be true after processes were killed and frozen, over what the gateway, the store and the callers say. Pure:
 * nothing here knows how it came about.
 *
 * Each payload has an amount of its own, by which a charge is told from every other.
 */
import type { Answer } from "./wire.ts"

/** An operation of the gateway's ledger that moved money. */
export interface Charge {
  readonly id: string
  readonly amountMinor: number
}

/** `result` is the stored answer; undefined of a record that has none. */
export interface Kept {
  readonly key: string
  readonly state: string
  readonly result: string | undefined
}

/** One try of a caller. Without an answer its process was killed. Times are those of one clock. */
export interface Attempt {
  readonly sentAt: number
  readonly endedAt: number
  readonly answer: Answer | undefined
}

/** One caller: it asks until it has an answer for good. */
export interface Caller {
  readonly key: string
  readonly amountMinor: number
  readonly attempts: ReadonlyArray<Attempt>
}

export interface Evidence {
  readonly charges: ReadonlyArray<Charge>
  readonly records: ReadonlyArray<Kept>
  readonly callers: ReadonlyArray<Caller>
}

/**
 * | violation | |
 * |---|---|
 * | `DoubleCharge` | a key has more than one charge |
 * | `ChargeWithoutRecord` | a charge of a key of which there is no record |
 * | `RecordWithoutCharge` | a record of a charge that the gateway does not know |
 * | `ChargedThoughDeclined` | a record of a refusal, and a charge |
 * | `NoRecord` | a key was called, and has neither record nor charge |
 * | `Stuck` | a record without an end |
 * | `LostAnswer` | a caller never got an answer for good |
 * | `AnswerDiffers` | a caller was told something else than the record says |
 * | `ConflictNotRefused` | two payloads got answers under one key, or a charge is of a payload that was refused |
 * | `WronglyRefused` | a payload that got the answer was refused as a conflict, or all were |
 * | `ToldNotExecuted` | a call that began after the key's answer was known was told that nothing had happened |
 * | `StrayCharge` | a charge that nobody has asked for |
 * | `Broken` | an answer that must never be given |
 */
export interface Violation {
  readonly _tag:
    | "AnswerDiffers"
    | "Broken"
    | "ChargeWithoutRecord"
    | "ChargedThoughDeclined"
    | "ConflictNotRefused"
    | "DoubleCharge"
    | "LostAnswer"
    | "NoRecord"
    | "RecordWithoutCharge"
    | "StrayCharge"
    | "Stuck"
    | "ToldNotExecuted"
    | "WronglyRefused"
  readonly key: string
  readonly detail: string
}

/** All that is wrong, in the order of the keys. Empty is as it has to be. */
export const verify = (evidence: Evidence): ReadonlyArray<Violation> => {
  const callers = Map.groupBy(evidence.callers, ({ key }) => key)
  const keyOf = new Map(evidence.callers.map(({ amountMinor, key }) => [amountMinor, key]))
  const charges = Map.groupBy(evidence.charges, ({ amountMinor }) => keyOf.get(amountMinor))
  const records = new Map(evidence.records.map((record) => [record.key, record]))
  const stray = (charges.get(undefined) ?? []).map(({ amountMinor, id }): Violation => ({
    _tag: "StrayCharge",
    key: "",
    detail: `${id} of ${amountMinor}`
  }))
  return [
    ...stray,
    ...[...callers].flatMap(([key, callers]) => {
      const seen = { key, callers, charges: charges.get(key) ?? [], record: records.get(key) }
      return [...ofLedger(seen), ...ofCallers(seen), ...ofPayloads(seen)]
    })
  ]
}

interface Seen {
  readonly key: string
  readonly callers: ReadonlyArray<Caller>
  readonly charges: ReadonlyArray<Charge>
  readonly record: Kept | undefined
}

const violation = (_tag: Violation["_tag"], { key }: Seen, detail: string): Violation => ({ _tag, key, detail })

// --- record and ledger

const ofLedger = (seen: Seen): ReadonlyArray<Violation> => {
  const { charges, record } = seen
  const ids = charges.map(({ id }) => id).join(", ")
  const double = charges.length > 1 ? [violation("DoubleCharge", seen, ids)] : []
  if (record === undefined) {
    return [
      ...double,
      charges.length > 0 ? violation("ChargeWithoutRecord", seen, ids) : violation("NoRecord", seen, "")
    ]
  }
  switch (record.state) {
    case "Succeeded":
      return charges.some(({ id }) => record.result?.includes(`"id":"${id}"`) === true)
        ? double
        : [...double, violation("RecordWithoutCharge", seen, `${record.result}; charges: ${ids}`)]
    case "Refused":
      return charges.length > 0 ? [...double, violation("ChargedThoughDeclined", seen, ids)] : double
    // A state of its own, and an operator's: nobody works on it, and everybody is told so.
    case "Parked":
      return double
    default:
      return [...double, violation("Stuck", seen, record.state)]
  }
}

// --- what callers were told

const ofCallers = (seen: Seen): ReadonlyArray<Violation> => {
  const knownAt = Math.min(
    ...seen.callers.flatMap(({ attempts }) =>
      attempts.flatMap(({ answer, endedAt }) => answer !== undefined && isKept(answer) ? [endedAt] : [])
    )
  )
  return seen.callers.flatMap(({ attempts }) => {
    const last = attempts.at(-1)?.answer
    const isLost = last === undefined || last._tag === "Open"
    const lost = isLost ? [violation("LostAnswer", seen, `after ${attempts.length} attempts: ${said(last)}`)] : []
    return [...lost, ...attempts.flatMap((attempt) => ofAttempt(seen, attempt, knownAt))]
  })
}

const isKept = ({ _tag }: Answer): boolean => _tag === "Charged" || _tag === "Declined"

const said = (answer: Answer | undefined): string => answer === undefined ? "nothing" : JSON.stringify(answer)

const ofAttempt = (seen: Seen, { answer, sentAt }: Attempt, knownAt: number): ReadonlyArray<Violation> => {
  const { record } = seen
  const differs = (state: string, text?: string): ReadonlyArray<Violation> =>
    record?.state === state && (text === undefined || record.result === text)
      ? []
      : [violation("AnswerDiffers", seen, `${said(answer)}; the record is ${record?.state} ${record?.result}`)]
  switch (answer?._tag) {
    case "Charged":
      return differs("Succeeded", answer.text)
    case "Declined":
      return differs("Refused", answer.text)
    case "Parked":
      return differs("Parked")
    case "Broken":
      return [violation("Broken", seen, answer.detail)]
    case "Open":
      return answer.notExecuted && sentAt > knownAt ? [violation("ToldNotExecuted", seen, answer.reason)] : []
    default:
      return []
  }
}

// --- which payload the key belongs to

const ofPayloads = (seen: Seen): ReadonlyArray<Violation> => {
  const amountsOf = (is: (answer: Answer) => boolean): ReadonlySet<number> =>
    new Set(
      seen.callers.flatMap(({ amountMinor, attempts }) =>
        attempts.some(({ answer }) => answer !== undefined && is(answer)) ? [amountMinor] : []
      )
    )
  const answered = amountsOf(isKept)
  const refused = amountsOf(({ _tag }) => _tag === "Conflict")
  const all = new Set(seen.callers.map(({ amountMinor }) => amountMinor))
  const isWrong = (amount: number) => answered.size > 0 && !answered.has(amount)
  const charged = seen.charges.filter(({ amountMinor }) => isWrong(amountMinor))
  return [
    ...answered.size > 1 || charged.length > 0
      ? [
        violation(
          "ConflictNotRefused",
          seen,
          `answered: ${[...answered].join()}; charged: ${charged.map(({ id }) => id)}`
        )
      ]
      : [],
    ...[...answered].some((amount) => refused.has(amount)) || refused.size === all.size
      ? [violation("WronglyRefused", seen, `refused: ${[...refused].join()}`)]
      : []
  ]
}
