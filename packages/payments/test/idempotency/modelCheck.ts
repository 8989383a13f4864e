/**
 * Every interleaving of three attempts at one operation over the pure machine: requests that are late, lost or sent again,
 * replies that are lost, crashes, leases that lapse, an operator who tells the truth.
 *
 * States that differ in nothing that can matter later are one: times count from now, a fence matters only where it is that
 * of the record, what has lapsed has lapsed, and attempts have no names. So there is an end without a bound on time, retries or
 * renewals. That an old fence writes nothing, and that nothing changes what was completed, is not taken for granted: it is
 * tried on every record that is reached.
 */
import * as machine from "../../src/internal/idempotency/machine.ts"
import { type ClaimRequest, Key, type Record, recordId, Scope } from "../../src/internal/idempotency/record.ts"

const lease = 2
const attemptsMax = 2
const ttlMillis = 1_000_000_000
const id = recordId(Scope.make({ tenant: "t", operation: "charge", version: 1 }), Key.make("k"))

type Operation = "claim" | "fail" | "release" | "renew" | "save"

interface Message {
  readonly attempt: number
  readonly operation: Operation
  readonly fence: number
  /** What is saved: a result, or undefined for an end that nobody knows. */
  readonly result: string | undefined
  readonly sentAt: number
}

interface Attempt {
  /** `running` may execute, `ran` has, `looking` asks the gateway what became of it. */
  readonly phase: "crashed" | "idle" | "looking" | "over" | "ran" | "running"
  /** What it waits for. */
  readonly waitsFor: Message | undefined
  readonly fence: number
  /** Until when it counts on its lease, from when it asked. */
  readonly trust: number
}

interface State {
  readonly record: Record | undefined
  readonly now: number
  readonly attempts: ReadonlyArray<Attempt>
  readonly wire: ReadonlyArray<Message>
  /** The results of what was executed. */
  readonly executions: ReadonlyArray<string>
}

/** The transitions that are explored: the machine's, or one that is wrong. */
export type Machine = Pick<typeof machine, "claim" | "complete" | "release" | "renew" | "resolve">

const requestOf = (attempt: number): ClaimRequest => ({
  ...id,
  fingerprint: "f",
  owner: `o${attempt}`,
  leaseMillis: lease,
  canResolve: true,
  attemptsMax
})

const startOf = (attempts: number): State => ({
  record: undefined,
  now: 10,
  attempts: Array.from({ length: attempts }, () => ({ phase: "idle", waitsFor: undefined, fence: 0, trust: 0 })),
  wire: [],
  executions: []
})

const withAttempt = (state: State, index: number, change: Partial<Attempt>): State => ({
  ...state,
  attempts: state.attempts.map((attempt, i) => (i === index ? { ...attempt, ...change } : attempt))
})

const send = (state: State, message: Omit<Message, "fence" | "sentAt">): State => {
  const sent = { ...message, fence: state.attempts[message.attempt]?.fence ?? 0, sentAt: state.now }
  const posted = { ...state, wire: [...state.wire, sent] }
  return message.operation === "renew" ? posted : withAttempt(posted, message.attempt, { waitsFor: sent })
}

interface Applied {
  readonly record: Record | undefined
  readonly answer: Record | boolean
}

const apply = (rules: Machine, { now, record }: State, message: Message): Applied => {
  const owned = { ...id, owner: `o${message.attempt}`, fence: message.fence }
  const written = (next: Record | undefined): Applied => ({ record: next ?? record, answer: next !== undefined })
  switch (message.operation) {
    case "claim": {
      const next = rules.claim(record, requestOf(message.attempt), now)
      return { record: next, answer: next }
    }
    case "release":
      return written(rules.release(record, { ...owned, ttlMillis }, now))
    case "renew":
      return written(rules.renew(record, { ...owned, leaseMillis: lease }, now))
    case "save":
      return written(
        rules.complete(record, {
          ...owned,
          completion: { _tag: "Succeeded", result: message.result ?? "", ttlMillis }
        }, now)
      )
    case "fail":
      return written(
        rules.complete(record, {
          ...owned,
          completion: { _tag: "Indeterminate", ran: true, counted: true, attemptsMax }
        }, now)
      )
  }
}

/** What an attempt makes of a reply. */
const hear = (state: State, message: Message, answer: Record | boolean): State => {
  const attempt = state.attempts[message.attempt]
  if (attempt === undefined || attempt.phase === "crashed" || attempt.phase === "over") return state
  if (message.operation === "renew") {
    const trust = Math.max(attempt.trust, message.sentAt + lease)
    return answer === true && attempt.fence === message.fence ? withAttempt(state, message.attempt, { trust }) : state
  }
  if (attempt.waitsFor?.operation !== message.operation) return state
  if (typeof answer === "boolean") return withAttempt(state, message.attempt, { phase: "over", waitsFor: undefined })
  const isMine = answer.owner === `o${message.attempt}` && (answer.state === "Claimed" || answer.state === "Resolving")
  return withAttempt(state, message.attempt, {
    waitsFor: undefined,
    phase: isMine ? answer.state === "Claimed" ? "running" : "looking" : "over",
    fence: isMine ? answer.fence : 0,
    // From when it asked last: an answer to an earlier request says less.
    trust: isMine ? message.sentAt + lease : 0
  })
}

interface Step {
  readonly name: string
  readonly next: State
}

const without = (state: State, index: number): State => ({ ...state, wire: state.wire.filter((_, i) => i !== index) })

const deliveries = (rules: Machine, state: State): ReadonlyArray<Step> =>
  state.wire.flatMap((message, index) => {
    const { answer, record } = apply(rules, state, message)
    const after = { ...without(state, index), record }
    const name = `${message.operation} of ${message.attempt}`
    return [
      { name, next: hear(after, message, answer) },
      { name: `${name}, reply lost`, next: after },
      { name: `${name}, request lost`, next: without(state, index) }
    ]
  })

const attemptSteps = (
  state: State,
  attempt: Attempt,
  index: number,
  onTheirWayMax: number
): ReadonlyArray<Step> => {
  const { executions, now, wire } = state
  if (attempt.phase === "crashed" || attempt.phase === "over") return []
  // Which of them starts first is no difference.
  if (attempt.phase === "idle" && attempt.waitsFor === undefined) {
    const isNext = index === 0 || state.attempts[index - 1]?.waitsFor !== undefined ||
      state.attempts[index - 1]?.phase !== "idle"
    const message = { attempt: index, operation: "claim", result: undefined } as const
    return isNext && wire.length < onTheirWayMax ? [{ name: `${index} claims`, next: send(state, message) }] : []
  }
  const onTheirWay = wire.filter((message) => message.attempt === index)
  const steps: Array<Step> = [{ name: `${index} crashes`, next: withAttempt(state, index, { phase: "crashed" }) }]
  const post = (operation: Operation, result?: string) => {
    if (wire.length >= onTheirWayMax) return
    steps.push({ name: `${index} sends ${operation}`, next: send(state, { attempt: index, operation, result }) })
  }
  if (
    attempt.phase !== "idle" && attempt.waitsFor === undefined &&
    !onTheirWay.some(({ operation }) => operation === "renew")
  ) post("renew")
  if (attempt.waitsFor !== undefined) {
    // No answer yet: the same again.
    post(attempt.waitsFor.operation, attempt.waitsFor.result)
    return steps
  }
  const result = executions[0]
  const run = () => {
    if (now >= attempt.trust) return
    const done = { ...state, executions: [...executions, `r${index}`] }
    steps.push({ name: `${index} executes`, next: withAttempt(done, index, { phase: "ran" }) })
  }
  switch (attempt.phase) {
    case "running":
      run()
      post("release")
      break
    case "ran":
      post("save", `r${index}`)
      post("fail")
      break
    case "looking":
      if (result === undefined) run()
      else post("save", result)
      post("fail")
      break
  }
  return steps
}

/** The operator looks at the gateway, and says what is there. */
const resolutions = (rules: Machine, { executions, now, record, ...state }: State): ReadonlyArray<Step> => {
  if (record === undefined) return []
  const [result] = executions
  const next = rules.resolve(record, {
    ...id,
    fence: record.fence,
    ttlMillis,
    resolution: result === undefined ? { _tag: "NeverHappened" } : { _tag: "Succeeded", result }
  }, now)
  return next === undefined || next === record
    ? []
    : [{ name: "the operator resolves", next: { ...state, executions, now, record: next } }]
}

const stepsOf = (rules: Machine, state: State, onTheirWayMax: number): ReadonlyArray<Step> => [
  { name: "time passes", next: { ...state, now: state.now + 1 } },
  ...deliveries(rules, state),
  ...state.attempts.flatMap((attempt, index) => attemptSteps(state, attempt, index, onTheirWayMax)),
  ...resolutions(rules, state)
]

// One that has sent its end runs nothing any more.
const isTrusting = ({ now }: State) => ({ phase, trust, waitsFor }: Attempt): boolean =>
  trust > now && waitsFor === undefined && (phase === "running" || phase === "ran" || phase === "looking")

/** What is wrong with a step; undefined when nothing is. */
const wrongWith = (before: State, { next }: Step): string | undefined => {
  const [was, is] = [before.record, next.record]
  if (next.executions.length > 1) return "executed twice"
  if (next.attempts.filter(isTrusting(next)).length > 1) return "two count on the lease at once"
  if (is?.state === "Succeeded" && is.result !== next.executions[0]) return "kept another result than there was"
  if (was?.state === "Succeeded" && JSON.stringify(was) !== JSON.stringify(is)) return "changed what was completed"
  if (was !== undefined && is !== undefined) {
    if (is.fence < was.fence || (is.owner !== was.owner && is.fence === was.fence)) return "a fence that does not grow"
    if (is !== was && was.owner !== is.owner && is.state === "Claimed" && next.executions.length > 0) {
      return "granted what may have happened"
    }
  }
  return undefined
}

/**
 * Whether an attempt can do no more than one that is gone. What it asks for under an old fence changes nothing (`idleWrites`
 * tries that), so all that it can still do is to execute while it counts on its lease.
 */
const isGone = ({ now, record }: State, { fence, phase, trust, waitsFor }: Attempt): boolean => {
  if (phase === "crashed" || phase === "over") return true
  if (phase === "idle") return waitsFor !== undefined && record?.state === "Succeeded"
  const mayExecute = phase !== "ran" && waitsFor === undefined && trust > now
  return (fence !== record?.fence || record.state === "Succeeded") && !mayExecute
}

const gone: Attempt = { phase: "over", waitsFor: undefined, fence: 0, trust: 0 }

/** Without what can matter no more. */
const simplify = (state: State): State => {
  const { attempts, record, wire } = state
  return {
    ...state,
    attempts: attempts.map((attempt) => (isGone(state, attempt) ? gone : attempt)),
    wire: record?.state === "Succeeded"
      ? []
      : wire.filter(({ fence, operation }) => operation === "claim" || fence === record?.fence)
  }
}

/**
 * What is wrong with a record that a request under an old fence changes, or any request once it is completed, or that lets one
 * count on a lease which is not its own.
 */
const idleWrites = (rules: Machine, state: State): string | undefined => {
  const { attempts, executions, record } = state
  if (record === undefined) return undefined
  const isFinal = record.state === "Succeeded"
  const fences = isFinal ? [record.fence, record.fence - 1, 0] : [record.fence - 1, 0]
  for (let attempt = 0; attempt < attempts.length; attempt++) {
    for (const fence of fences) {
      for (const operation of ["claim", "fail", "release", "renew", "save"] as const) {
        if (operation === "claim" && !isFinal) continue
        const after = apply(rules, state, { attempt, operation, fence, result: executions[0], sentAt: state.now })
        if (after.record !== record && JSON.stringify(after.record) !== JSON.stringify(record)) {
          return isFinal ? "changed what was completed" : "an old fence that writes"
        }
        if (after.answer === true && (operation === "renew" || !isFinal)) return "an old fence that is told yes"
      }
    }
  }
  return undefined
}

/**
 * A text that is the same for states that differ in nothing that can matter. What concerns an attempt is put together: how
 * it stands, what it has sent, whether the record is its own. Nothing else names an attempt (a result is always that of the one
 * execution), so that states which differ in the names of attempts alone are one when sorted.
 */
const keyOf = ({ attempts, executions, now, record, wire }: State, isSymmetric: boolean): string => {
  const from = (time: number) => (time > now ? time - now : 0)
  const fenceOf = (fence: number) => (fence === record?.fence ? 1 : 0)
  const stands = (each: Attempt): string => {
    if (each.phase === "over" || each.phase === "crashed") return each.phase
    const { waitsFor } = each
    return waitsFor !== undefined && waitsFor.operation !== "claim"
      ? `${waitsFor.operation}${waitsFor.result === undefined ? "" : 1}${fenceOf(each.fence)}`
      : `${each.phase}${waitsFor?.operation ?? ""}${fenceOf(each.fence)}${from(each.trust)}`
  }
  const parts = attempts.map((each, index) => {
    const onTheirWay = wire.filter(({ attempt }) => attempt === index)
    // When it was sent matters to one who counts a lease from then.
    const sent = onTheirWay.map(({ fence, operation, result, sentAt }) =>
      `${operation}${fenceOf(fence)}${result === undefined ? "" : 1}${
        each.phase !== "over" && (operation === "claim" || operation === "renew") ? `@${from(sentAt + lease)}` : ""
      }`
    ).sort().join()
    // Whose the record is matters to one who can still ask for something.
    const isOwner = record?.owner === `o${index}` && (each.phase !== "over" || onTheirWay.length > 0) ? "!" : ""
    return `${stands(each)}${isOwner}:${sent}`
  })
  if (isSymmetric) parts.sort()
  return `${parts.join("|")}|${executions.length}|${
    record === undefined
      ? ""
      : `${record.state}${record.unresolved}${from(record.leaseUntil)}${record.result === undefined ? "" : "="}+${
        Math.max(record.fence - now, -1)
      }`
  }`
}

export interface Explored {
  readonly states: number
  readonly steps: number
  /** The states, simplified and without the names of attempts. */
  readonly orbits: ReadonlySet<string>
  /** The states of the record that were reached. */
  readonly reached: ReadonlySet<string>
  /** The first thing that went wrong, and how it came to it. */
  readonly wrong: { readonly what: string; readonly history: ReadonlyArray<string> } | undefined
}

interface Node {
  readonly state: State
  readonly name: string
  readonly parent: Node | undefined
}

const historyOf = (node: Node | undefined): ReadonlyArray<string> =>
  node === undefined ? [] : [...historyOf(node.parent), node.name]

/**
 * Breadth first, so that a history that is found is a shortest one. `onTheirWay` is how many requests are on their way at once:
 * of one attempt, late and sent again, or of two.
 */
export const explore = (
  options: {
    readonly attempts: number
    readonly onTheirWay: number
    readonly rules?: Machine | undefined
    /** Whether attempts keep their names: the same with more states. */
    readonly named?: boolean | undefined
    /** Whether what can matter no more is kept: a request under an old fence then takes the place of another. */
    readonly whole?: boolean | undefined
  }
): Explored => {
  const { attempts, named = false, onTheirWay, rules = machine, whole = false } = options
  const start = startOf(attempts)
  const seen = new Set([keyOf(start, !named)])
  const isQuotient = !named && !whole
  const orbits = isQuotient ? seen : new Set([keyOf(start, true)])
  const reached = new Set<string>()
  let steps = 0
  let level: ReadonlyArray<Node> = [{ state: start, name: "start", parent: undefined }]
  while (level.length > 0) {
    const following: Array<Node> = []
    for (const node of level) {
      for (const step of stepsOf(rules, node.state, onTheirWay)) {
        steps++
        const state = whole ? step.next : simplify(step.next)
        const next: Node = { state, name: step.name, parent: node }
        const key = keyOf(state, !named)
        const isNew = !seen.has(key)
        const what = wrongWith(node.state, step) ?? (isNew ? idleWrites(rules, step.next) : undefined)
        if (what !== undefined) {
          return { states: seen.size, orbits, steps, reached, wrong: { what, history: historyOf(next) } }
        }
        if (!isNew) continue
        seen.add(key)
        if (!isQuotient) orbits.add(keyOf(simplify(state), true))
        reached.add(state.record?.state ?? "none")
        following.push(next)
      }
    }
    level = following
  }
  return { states: seen.size, orbits, steps, reached, wrong: undefined }
}
