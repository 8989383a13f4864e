/**
 * What has to be true after processes were killed, stores were stopped and connections cut, over what the gateway, the services,
 * the log and the callers say. Pure: nothing here knows how it came about, and nothing of the engine is used.
 *
 * Each order has an amount of its own, by which what the gateway did for it is told from all else.
 */
import type { SagaLog } from "effect-payments"
import type { Act } from "./Services.ts"
import type { Answer, Order } from "./wire.ts"

/** What was ordered. `mayStick` names the step that may stop it for good: an undo that is never possible, or one behind the pivot. */
export interface Ordered extends Pick<Order, "orderId" | "kind" | "amountMinor"> {
  readonly mayStick: "reserve" | "ship" | undefined
}

/** A run as the log has it. */
export interface Kept {
  readonly id: string
  readonly saga: string
  readonly state: string
  readonly entries: ReadonlyArray<Pick<SagaLog.Entry, "seq" | "epoch" | "state" | "events">>
}

/** An operation of the gateway's ledger that moved money, or held it. */
export interface Charge {
  readonly id: string
  readonly kind: "authorize" | "capture" | "void" | "refund"
  readonly amountMinor: number
}

/** All that one caller was told, in order; undefined where its process was gone. */
export interface Caller {
  readonly orderId: string
  readonly answers: ReadonlyArray<Answer | undefined>
}

export interface Evidence {
  readonly orders: ReadonlyArray<Ordered>
  readonly runs: ReadonlyArray<Kept>
  readonly charges: ReadonlyArray<Charge>
  /** Captured less refunded, as the gateway sums it up. */
  readonly netMinor: number
  readonly acts: ReadonlyArray<Act>
  readonly callers: ReadonlyArray<Caller>
}

/**
 * | violation | |
 * |---|---|
 * | `DoubleCharge`, `DoubleCapture` | an order is authorized, or captured, more than once |
 * | `DoubleAct`, `DoubleUndo` | a service has acted twice; a void, refund or release took effect twice |
 * | `LostCompensation` | a saga that does not go on, and money held or taken or stock reserved that it should have undone |
 * | `UndoneThoughCompleted` | completed, and something was undone |
 * | `NotDone` | completed, and something was not done |
 * | `DoneThoughUndone` | undone, and a parcel or receipt is on its way |
 * | `Stuck` | no end, or one that waits for somebody without a reason, or though nothing in the order stops it |
 * | `NoRun`, `Stray` | an order without a run that somebody was told of; a run, charge or act that nobody ordered |
 * | `HistoryBroken` | the log contradicts itself: see the detail |
 * | `AnswerDiffers`, `LostAnswer`, `Broken` | told something else than the log says; never told; told what must not be |
 * | `MoneyDiffers` | what the gateway has taken is not what the completed orders cost |
 */
export interface Violation {
  readonly _tag:
    | "AnswerDiffers"
    | "Broken"
    | "DoneThoughUndone"
    | "DoubleAct"
    | "DoubleCapture"
    | "DoubleCharge"
    | "DoubleUndo"
    | "HistoryBroken"
    | "LostAnswer"
    | "LostCompensation"
    | "MoneyDiffers"
    | "NoRun"
    | "NotDone"
    | "Stray"
    | "Stuck"
    | "UndoneThoughCompleted"
  readonly orderId: string
  readonly detail: string
}

/** All that is wrong, in the order of the orders. Empty is as it has to be. */
export const verify = (evidence: Evidence): ReadonlyArray<Violation> => {
  const orderIds = new Map(evidence.orders.map(({ amountMinor, orderId }) => [amountMinor, orderId]))
  const known = new Set(orderIds.values())
  const charges = Map.groupBy(evidence.charges, ({ amountMinor }) => orderIds.get(amountMinor) ?? "")
  const acts = Map.groupBy(evidence.acts, ({ orderId }) => orderId)
  const runs = Map.groupBy(evidence.runs, ({ id }) => id)
  const callers = Map.groupBy(evidence.callers, ({ orderId }) => orderId)
  const seen = evidence.orders.map((order): Seen => {
    const own = charges.get(order.orderId) ?? []
    return {
      order,
      runs: runs.get(order.orderId) ?? [],
      callers: callers.get(order.orderId) ?? [],
      captures: own.flatMap(({ id, kind }) => kind === "capture" ? [id] : []),
      world: worldOf(own, acts.get(order.orderId) ?? [])
    }
  })
  const strays = [
    ...(charges.get("") ?? []).map(({ amountMinor, id }) => `${id} of ${amountMinor}`),
    ...[...acts.keys(), ...runs.keys()].filter((orderId) => !known.has(orderId))
  ]
  return [
    ...strays.map((detail): Violation => ({ _tag: "Stray", orderId: "", detail })),
    ...seen.flatMap((seen) => [...ofWorld(seen), ...ofRun(seen), ...ofCallers(seen)]),
    ...ofMoney(seen, evidence.netMinor)
  ]
}

interface Seen {
  readonly order: Ordered
  readonly runs: ReadonlyArray<Kept>
  readonly callers: ReadonlyArray<Caller>
  readonly captures: ReadonlyArray<string>
  readonly world: World
}

/** How often what took effect. */
interface World {
  readonly authorize: number
  readonly capture: number
  readonly void: number
  readonly refund: number
  readonly reserve: number
  readonly release: number
  readonly ship: number
  readonly receipt: number
}

const worldOf = (charges: ReadonlyArray<Charge>, acts: ReadonlyArray<Act>): World => {
  const moved = (kind: Charge["kind"]) => charges.filter((charge) => charge.kind === kind).length
  const acted = (operation: Act["operation"]) =>
    acts.filter((act) => act.operation === operation && act.did === "Done").length
  return {
    authorize: moved("authorize"),
    capture: moved("capture"),
    void: moved("void"),
    refund: moved("refund"),
    reserve: acted("reserve"),
    release: acted("release"),
    ship: acted("ship"),
    receipt: acted("receipt")
  }
}

const textOf = (world: World): string =>
  Object.entries(world).flatMap(([name, count]) => count === 0 ? [] : [`${name} ${count}`]).join(", ")

const violation = (_tag: Violation["_tag"], { order, runs, world }: Seen, detail: string): Violation => ({
  _tag,
  orderId: order.orderId,
  detail: `${detail}; ${order.kind} ${runs.map(({ state }) => state).join()}: ${textOf(world)}`
})

const when = (isSo: boolean, make: () => Violation): ReadonlyArray<Violation> => isSo ? [make()] : []

// --- what nothing may do twice

const ofWorld = (seen: Seen): ReadonlyArray<Violation> => {
  const { world } = seen
  const twice = (names: ReadonlyArray<keyof World>) => names.filter((name) => world[name] > 1)
  const acts = twice(["reserve", "ship", "receipt"])
  const undos = twice(["void", "refund", "release"])
  return [
    ...when(world.authorize > 1, () => violation("DoubleCharge", seen, `${world.authorize} authorizations`)),
    ...when(world.capture > 1, () => violation("DoubleCapture", seen, `${world.capture} captures`)),
    ...when(acts.length > 0, () => violation("DoubleAct", seen, acts.join())),
    ...when(undos.length > 0, () => violation("DoubleUndo", seen, undos.join()))
  ]
}

// --- whether the end that the log tells is true

const ofRun = (seen: Seen): ReadonlyArray<Violation> => {
  const [run, ...more] = seen.runs
  if (run === undefined || more.length > 0) {
    return [violation(run === undefined ? "NoRun" : "Stray", seen, `${seen.runs.length} runs`)]
  }
  return [...ofEnd(seen, run), ...ofHistory(seen, run)]
}

/** The steps of which something still stands. */
const standing = ({ authorize, capture, refund, release, reserve, void: voided }: World): ReadonlyArray<string> => [
  ...reserve > release ? ["reserve"] : [],
  ...authorize > voided && capture === 0 ? ["authorize"] : [],
  ...capture > refund ? ["capture"] : []
]

const ofEnd = (seen: Seen, run: Kept): ReadonlyArray<Violation> => {
  const { order, world } = seen
  const left = standing(world)
  const isSent = world.ship + world.receipt > 0
  switch (run.state) {
    case "Completed": {
      const missing = (["reserve", "authorize", "capture", "ship", "receipt"] as const).filter((name) =>
        world[name] === 0
      )
      const undone = (["void", "refund", "release"] as const).filter((name) => world[name] > 0)
      return [
        ...when(missing.length > 0, () => violation("NotDone", seen, missing.join())),
        ...when(undone.length > 0, () => violation("UndoneThoughCompleted", seen, undone.join()))
      ]
    }
    case "Compensated":
      return [
        ...when(left.length > 0, () => violation("LostCompensation", seen, left.join())),
        ...when(isSent, () => violation("DoneThoughUndone", seen, ""))
      ]
    case "FailedCompensation": {
      const failed = undosThatFailed(run)
      const lost = left.filter((step) => !failed.has(step))
      return [
        ...when(lost.length > 0, () => violation("LostCompensation", seen, lost.join())),
        ...when(isSent, () => violation("DoneThoughUndone", seen, "")),
        ...when(
          order.mayStick !== "reserve" || failed.size === 0 || [...failed.values()].includes(""),
          () => violation("Stuck", seen, [...failed].map(([step, detail]) => `${step}: ${detail}`).join())
        )
      ]
    }
    case "Parked": {
      const reason = reasonOf(run)
      return [
        ...when(order.mayStick !== "ship" || reason === "", () => violation("Stuck", seen, reason)),
        ...when(
          order.mayStick === "ship" && left.join() !== "reserve,capture",
          () => violation("LostCompensation", seen, `parked: ${left.join()}`)
        )
      ]
    }
    default:
      return [violation("Stuck", seen, run.state)]
  }
}

const eventsOf = ({ entries }: Kept) => entries.flatMap(({ events }) => events)

/** Of each step the last word on its undo, where that is a failure. */
const undosThatFailed = (run: Kept): ReadonlyMap<string, string> => {
  const failed = new Map<string, string>()
  for (const event of eventsOf(run)) {
    if (event._tag === "UndoFailed") failed.set(event.step, event.detail)
    if (event._tag === "Undone" || event._tag === "Skipped") failed.delete(event.step)
  }
  return failed
}

const reasonOf = (run: Kept): string => {
  const parked = eventsOf(run).findLast(({ _tag }) => _tag === "Parked")
  return parked?._tag === "Parked" ? parked.reason : ""
}

// --- whether the history makes sense on its own

const order = ["reserve", "authorize", "capture", "ship", "receipt"]
const pivots: Readonly<Record<string, string>> = { sale: "capture", order: "ship" }

const ofHistory = (seen: Seen, run: Kept): ReadonlyArray<Violation> =>
  [...ofEntries(run), ...ofEvents(run)].map((detail) => violation("HistoryBroken", seen, detail))

const ofEntries = ({ entries, state }: Kept): ReadonlyArray<string> => [
  ...entries.every(({ seq }, index) => seq === index + 1) ? [] : ["a gap"],
  ...entries.every(({ epoch }, index) => epoch >= (entries[index - 1]?.epoch ?? 0))
    ? []
    : ["an owner that was over wrote"],
  ...entries.at(-1)?.state === state ? [] : [`the last entry says ${entries.at(-1)?.state}`]
]

const ofEvents = (run: Kept): ReadonlyArray<string> => {
  const story = new Story(pivots[run.saga] ?? "")
  for (const event of eventsOf(run)) story.add(event)
  const open = [...story.owed].filter((step) => !story.closed.includes(step))
  story.isWrong(run.state === "Compensated" && open.length > 0, `no outcome of ${open.join()}`)
  story.isWrong(run.state === "Completed" && story.succeeded.size < order.length, "completed, and not all done")
  return story.wrong
}

class Story {
  readonly succeeded = new Set<string>()
  readonly owed = new Set<string>()
  readonly closed: Array<string> = []
  readonly wrong: Array<string> = []
  readonly #pivot: string
  readonly #intended: Array<string> = []
  #isUnwinding = false
  #hasFailed = false

  constructor(pivot: string) {
    this.#pivot = pivot
  }

  isWrong(isSo: boolean, text: string): void {
    if (isSo) this.wrong.push(text)
  }

  add(event: SagaLog.Event): void {
    switch (event._tag) {
      case "Intended":
        return this.#intend(event.step)
      case "Succeeded":
        this.isWrong(!this.#intended.includes(event.step), `${event.step} done, and never intended`)
        this.isWrong(this.succeeded.has(event.step), `${event.step} done twice`)
        this.succeeded.add(event.step)
        return
      case "Failed":
        this.isWrong(this.succeeded.has(event.step), `${event.step} failed, and was done`)
        this.owed.delete(event.step)
        this.#isUnwinding = true
        return
      case "Cancelled":
        for (const step of [event.unsent ?? []].flat()) this.owed.delete(step)
        this.#isUnwinding = true
        return
      case "Doubted":
        this.#isUnwinding = true
        return
      case "Undone":
      case "Skipped":
        return this.#close(event.step)
      case "UndoFailed":
        this.#hasFailed = true
        return
      default:
        return
    }
  }

  #intend(step: string): void {
    this.isWrong(this.#isUnwinding, `${step} intended while it unwinds`)
    this.isWrong(this.#intended.includes(step), `${step} intended twice`)
    this.isWrong(order[this.#intended.length] !== step, `${step} intended out of turn`)
    this.#intended.push(step)
    if (order.indexOf(step) < order.indexOf(this.#pivot)) this.owed.add(step)
  }

  #close(step: string): void {
    const last = this.closed.at(-1)
    const isLate = last !== undefined && order.indexOf(last) < order.indexOf(step)
    this.isWrong(!this.#isUnwinding, `${step} undone, and nothing had failed`)
    this.isWrong(this.closed.includes(step), `${step} has two outcomes`)
    this.isWrong(!this.owed.has(step), `${step} undone, and not owed`)
    this.isWrong(this.succeeded.has(this.#pivot), `${step} undone behind the pivot`)
    // One that failed is made up for later.
    this.isWrong(!this.#hasFailed && isLate, `${step} undone out of turn`)
    this.closed.push(step)
  }
}

// --- what callers were told

const ofCallers = (seen: Seen): ReadonlyArray<Violation> =>
  seen.callers.flatMap(({ answers }) => {
    const state = seen.runs[0]?.state
    const last = answers.at(-1)
    return [
      ...when(
        last === undefined || last._tag === "Open",
        () => violation("LostAnswer", seen, `after ${answers.length} calls: ${JSON.stringify(last)}`)
      ),
      ...answers.flatMap((answer) => {
        if (answer?._tag === "Broken") return [violation("Broken", seen, answer.detail)]
        if (answer?._tag !== "Ended") return []
        // What waits for somebody may go on.
        const isFinal = answer.state === "Completed" || answer.state === "Compensated"
        const isStrange = answer.capture !== undefined && !seen.captures.includes(answer.capture)
        return when(
          (isFinal && answer.state !== state) || isStrange,
          () => violation("AnswerDiffers", seen, JSON.stringify(answer))
        )
      })
    ]
  })

// --- the sum

const ofMoney = (seen: ReadonlyArray<Seen>, netMinor: number): ReadonlyArray<Violation> => {
  const due = seen.reduce(
    (sum, { order, runs: [run] }) =>
      run?.state === "Completed" || run?.state === "Parked" ? sum + order.amountMinor : sum,
    0
  )
  return due === netMinor ? [] : [{ _tag: "MoneyDiffers", orderId: "", detail: `${netMinor} taken, ${due} due` }]
}
