/**
 * Random histories of one key: several processes over one store, a scripted gateway, callers that leave, stores that
 * lose or withhold answers, processes that freeze and die. After each step the promises of the engine are checked.
 */
import { assert } from "@effect/vitest"
import { Clock, Duration, Effect, Equal, Exit, type Fiber, Schema } from "effect"
import { Idempotency, PaymentError, type PaymentGateway, Resilience } from "effect-payments"
import { TestGateway } from "effect-payments/testing"
import * as Harness from "../faults/harness.ts"
import type { Fault, Operation } from "../support/faultyStore.ts"

const Index = Schema.Literals([0, 1, 2])
const Rarely = Schema.Literals([false, false, false, false, true])

/** What the gateway does with the call, should the operation run. */
const behaviours = {
  proceed: TestGateway.proceed,
  slow: TestGateway.delay("8 seconds"),
  slower: TestGateway.delay("100 seconds"),
  late: TestGateway.late("100 seconds"),
  lostReply: TestGateway.lostReply,
  lostRequest: TestGateway.lostRequest,
  failBefore: TestGateway.failBefore,
  slowFailBefore: TestGateway.delay("8 seconds", TestGateway.failBefore),
  faultBefore: TestGateway.fault(500, { happened: false }),
  faultAfter: TestGateway.fault(500, { happened: true }),
  hangAfter: TestGateway.hang({ happened: true }),
  hangBefore: TestGateway.hang({ happened: false }),
  refuse: TestGateway.refuse(new PaymentError.InsufficientFunds({ advice: "TryAnotherMethod", nextKey: "new" })),
  rateLimit: TestGateway.rateLimit("1 second")
} as const
type Behaviour = keyof typeof behaviours
const behaviourNames = Object.keys(behaviours) as ReadonlyArray<Behaviour>
/** The caller is told, truthfully, that nothing has happened. */
const surelyNot: ReadonlySet<Behaviour> = new Set(["failBefore", "slowFailBefore", "rateLimit"])

const Call = Schema.TaggedStruct("Call", {
  process: Index,
  behaviour: Schema.Literals(behaviourNames),
  otherPayload: Rarely,
  /** Of an operation of two calls, which one meets the behaviour. */
  onSecond: Schema.Boolean,
  awaits: Schema.Boolean,
  detaches: Rarely,
  uninterruptible: Rarely
})

export const Command = Schema.Union([
  Call,
  Call,
  Call,
  Schema.TaggedStruct("Interrupt", { caller: Schema.Literals([0, 1, 2, 3, 4]) }),
  Schema.TaggedStruct("Advance", { seconds: Schema.Literals([1, 5, 12, 31, 70]) }),
  Schema.TaggedStruct("Advance", { seconds: Schema.Literals([1, 5, 12, 31, 350]) }),
  Schema.TaggedStruct("StoreFault", {
    process: Index,
    operation: Schema.Literals(["claim", "complete", "release", "renew"]),
    fault: Schema.Literals(["lostRequest", "lostReply", "hang", "hangAfter", "slow"]),
    times: Schema.Literals([1, 1, 2, 5])
  }),
  Schema.TaggedStruct("Heal", { process: Index }),
  Schema.TaggedStruct("Freeze", { process: Index }),
  Schema.TaggedStruct("Thaw", { process: Index }),
  Schema.TaggedStruct("Crash", { process: Index }),
  Schema.TaggedStruct("Close", { process: Index }),
  Schema.TaggedStruct("Lookups", { behaviour: Schema.Literals(["truth", "stillUnknown", "hang"]) })
])
export type Command = typeof Command.Type

export const Commands = Schema.Array(Command).check(Schema.isMinLength(15), Schema.isMaxLength(60))

const leaseMillis = 30_000
const settleMillis = 300_000
const requestTimeout = "40 seconds"

interface Caller {
  readonly fiber: Fiber.Fiber<PaymentGateway.Transaction, Idempotency.IdempotencyError | PaymentError.PaymentError>
  readonly process: number
  readonly isOther: boolean
  /** How many calls had left when it was answered. */
  sentBefore: number
  isJudged: boolean
}

/** A call that has left for the gateway. */
interface Sent {
  readonly behaviour: Behaviour
  readonly at: number
}

interface World {
  readonly deduplicates: boolean
  /** The operation is of two calls: it authorizes, then captures. */
  readonly sells: boolean
  readonly local: boolean
  readonly callers: Array<Caller>
  readonly sent: Array<Sent>
  /** Works that run now, by process. */
  readonly running: Map<object, number>
  readonly processes: Array<Harness.Process>
  readonly frozen: Set<number>
  last: Effect.Success<ReturnType<typeof Harness.inspect>>
  answer: PaymentGateway.Transaction | undefined
  refusal: PaymentError.PaymentError | undefined
}

const otherPayload = { order: "B", money: Harness.usd("99.00") }

/** What a caller does: the operation notes when it runs, and has the usual timeout of a request. */
const operation = (
  world: World,
  { awaits, behaviour, detaches, onSecond, otherPayload: isOther, process, uninterruptible }: typeof Call.Type
) => {
  const run = {}
  const work = Effect.gen(function*() {
    const gateway = yield* TestGateway.TestGateway
    const now = yield* Clock.currentTimeMillis
    yield* gateway.plan(({ method }) => {
      const met = world.sells && onSecond !== (method === "capture") ? "proceed" : behaviour
      world.sent.push({ behaviour: met, at: now })
      return behaviours[met]
    })
    const money = isOther ? otherPayload.money : undefined
    return yield* world.sells ? Harness.sell(money) : Harness.authorize(money)
  }).pipe(
    Resilience.timeout(requestTimeout),
    (self) =>
      Effect.acquireUseRelease(
        Effect.sync(() => world.running.set(run, process)),
        () => self,
        () => Effect.sync(() => void world.running.delete(run))
      )
  )
  const call = Idempotency.idempotent(work, {
    ...Harness.options,
    payload: isOther ? otherPayload : Harness.payload,
    resolve: Idempotency.resolveByLookup({ phases: world.sells ? ["authorize", "capture"] : ["authorize"] }),
    resolveTimeout: "10 seconds",
    lease: leaseMillis,
    settle: settleMillis,
    attemptsMax: 1000,
    duplicates: awaits ? "await" : "reject",
    onInterrupt: detaches ? "detach" : "indeterminate"
  })
  return uninterruptible ? Effect.uninterruptible(call) : call
}

const faultOf = (fault: "lostRequest" | "lostReply" | "hang" | "hangAfter" | "slow"): Fault =>
  fault === "slow" ? { delay: "7 seconds" } : fault

const start = Effect.fnUntraced(function*(world: World, index: number) {
  world.processes[index] = yield* Harness.makeProcess({ local: world.local })
})

const thaw = (world: World, index: number): void => {
  world.frozen.delete(index)
  world.processes[index]?.thaw()
}

const perform = Effect.fnUntraced(function*(world: World, command: Command) {
  const process = "process" in command ? world.processes[command.process] : undefined
  switch (command._tag) {
    case "Call": {
      if (process === undefined || world.frozen.has(command.process)) return
      const fiber = yield* Effect.forkDetach(process.run(operation(world, command)), { startImmediately: true })
      const caller: Caller = {
        fiber,
        process: command.process,
        isOther: command.otherPayload,
        sentBefore: 0,
        isJudged: false
      }
      world.callers.push(caller)
      fiber.addObserver(() => {
        caller.sentBefore = world.sent.length
      })
      return
    }
    case "Interrupt": {
      const caller = world.callers.filter(({ isJudged }) => !isJudged)[command.caller]
      if (caller !== undefined && !world.frozen.has(caller.process)) caller.fiber.interruptUnsafe()
      return
    }
    case "Advance":
      return yield* Harness.advance(Duration.seconds(command.seconds))
    case "StoreFault": {
      const planned: { [O in Operation]?: ReadonlyArray<Fault> } = {}
      planned[command.operation] = Array.from({ length: command.times }, () => faultOf(command.fault))
      return process?.plan(planned)
    }
    case "Heal":
      return process?.plan({})
    case "Freeze":
      world.frozen.add(command.process)
      return process?.freeze()
    case "Thaw":
      return thaw(world, command.process)
    case "Crash":
    case "Close": {
      if (process === undefined) return
      world.frozen.delete(command.process)
      const ending = yield* Effect.forkDetach(command._tag === "Crash" ? process.crash : process.close)
      yield* Harness.quiesce
      // A store that hangs keeps a closing layer waiting, for a lease at the most.
      for (let waited = 0; waited < 3 && ending.pollUnsafe() === undefined; waited++) {
        yield* Harness.advance("31 seconds")
      }
      assert.isDefined(ending.pollUnsafe(), "the layer closes within a lease")
      return yield* start(world, command.process)
    }
    case "Lookups": {
      const { planLookups } = yield* TestGateway.TestGateway
      return yield* planLookups(() => command.behaviour)
    }
  }
})

// --- what has to hold

const check = Effect.fnUntraced(function*(world: World) {
  yield* Harness.quiesce
  const gateway = yield* TestGateway.TestGateway
  const { entries } = yield* gateway.ledger
  const methods = entries.map(({ transaction }) => transaction.kind)
  assert.strictEqual(new Set(methods).size, methods.length, "one charge at the most, and one capture")

  const record = yield* Harness.inspect()
  const { last } = world
  if (last !== undefined) {
    assert.isDefined(record, "a record stays")
    assert.strictEqual(record?.fingerprint, last.fingerprint, "a record keeps its payload")
    assert.isAtLeast(record?.fence ?? 0, last.fence, "a fence never falls")
    if (last.state === "Succeeded" || last.state === "Refused") {
      assert.deepStrictEqual([record?.state, record?.result], [last.state, last.result], "what is completed is final")
    }
  }
  world.last = record

  for (const caller of world.callers) {
    const exit = caller.fiber.pollUnsafe()
    if (exit === undefined || caller.isJudged) continue
    caller.isJudged = true
    judge(world, caller, exit, record, entries)
  }
})

const judge = (
  world: World,
  caller: Caller,
  exit: Exit.Exit<PaymentGateway.Transaction, Idempotency.IdempotencyError | PaymentError.PaymentError>,
  record: World["last"],
  entries: ReadonlyArray<TestGateway.Entry>
): void => {
  const word = Harness.wordOf(exit)
  if (Exit.hasInterrupts(exit) || word === "StoreUnavailable" || word === "KeyConflict") return
  assert.notInclude(word, "Die", "no defects")
  const isBound = record?.fingerprint === fingerprintOf(caller.isOther)
  // Beside a call of this process whose claim has no answer yet nobody knows: it is told to ask again, which is no answer.
  if (word === "InFlight") return
  assert.isTrue(isBound, `a mismatching payload gets no answer, but got ${word}`)
  if (Exit.isSuccess(exit)) {
    const last = entries[world.sells ? 1 : 0]?.transaction
    assert.isTrue(last !== undefined && Equal.equals(exit.value, last), "the answer is what happened last")
    assert.isUndefined(world.refusal, "what was refused does not succeed")
    assert.strictEqual(record?.state, "Succeeded", "an answer is stored")
    world.answer = exit.value
    return
  }
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None" || !(error.value instanceof PaymentError.PaymentError)) return
  if (error.value.disposition === "Refused") {
    assert.isUndefined(world.answer, "what succeeded is not refused")
    assert.isAtMost(entries.length, world.sells ? 1 : 0, "what is refused has not happened")
    assert.strictEqual(record?.state, "Refused", "a refusal is stored")
    world.refusal = error.value
  }
  // Of two calls the first may have happened: the answer is about the last.
  if (error.value.disposition === "NotExecuted" && !world.sells) {
    // The attempt that the answer is about had nothing in doubt before it.
    const sent = world.sent.slice(0, caller.sentBefore)
    const isTrue = sent.some(({ at, behaviour }, index) =>
      surelyNot.has(behaviour) && doubtful(sent.slice(0, index), at).length === 0
    )
    assert.isTrue(isTrue, "nobody is told that nothing happened on a guess")
  }
}

const fingerprints = new Map<boolean, string>()
const fingerprintOf = (isOther: boolean): string | undefined => fingerprints.get(isOther)

/** Without de-duplication the operation runs again only long after anything of the last run can have arrived. */
const checkRuns = ({ deduplicates, sent }: World): void => {
  if (deduplicates) return
  sent.forEach(({ at }, index) => {
    assert.lengthOf(doubtful(sent.slice(0, index), at), 0, "no second run on a guess")
  })
}

/** Calls that may still arrive at a time, or have. */
const doubtful = (sent: ReadonlyArray<Sent>, now: number): ReadonlyArray<Sent> =>
  sent.filter(({ at, behaviour }) => !surelyNot.has(behaviour) && now - at < settleMillis)

/** One process works at a time, of those that are awake. */
const checkWorkers = ({ frozen, running }: World): void => {
  const awake = [...running.values()].filter((process) => !frozen.has(process))
  assert.isAtMost(awake.length, 1, "one work runs at a time")
}

/** In the end all callers have an answer, nothing is left in any process, and the key comes to a final answer. */
const finish = Effect.fnUntraced(function*(world: World) {
  const gateway = yield* TestGateway.TestGateway
  yield* gateway.planLookups([])
  world.processes.forEach((process, index) => {
    process.plan({})
    thaw(world, index)
  })
  yield* Harness.advance("150 seconds")
  yield* check(world)
  assert.deepStrictEqual(
    world.callers.filter(({ fiber }) => fiber.pollUnsafe() === undefined).map(({ process }) => process),
    [],
    "all callers have an answer"
  )
  for (const process of world.processes) assert.deepStrictEqual(process.left(), { live: 0, held: 0 }, "nothing is left")
  assert.strictEqual(world.running.size, 0, "no work is left")
  yield* Harness.advance("310 seconds")
  const finals = new Set(["InsufficientFunds", world.sells ? "test_cap_2" : "test_auth_1"])
  const bound = world.last?.fingerprint === fingerprintOf(true)
  let word = ""
  for (let attempt = 0; attempt < 3; attempt++) {
    const command = Call.make({
      process: 0,
      behaviour: "proceed",
      onSecond: false,
      otherPayload: bound,
      awaits: false,
      detaches: false,
      uninterruptible: false
    })
    yield* perform(world, command)
    yield* check(world)
    const last = world.callers.at(-1)?.fiber.pollUnsafe()
    word = last === undefined ? "nothing" : Harness.wordOf(last)
    if (finals.has(word)) break
    yield* Harness.advance("310 seconds")
  }
  assert.isTrue(finals.has(word), `the key comes to a final answer, and not to ${word}`)
})

export interface Options {
  readonly deduplicates: boolean
  readonly sells?: boolean
  readonly local: boolean
  readonly checksWorkers: boolean
}

export const simulate = Effect.fnUntraced(function*(commands: ReadonlyArray<Command>, options: Options) {
  const world: World = {
    deduplicates: options.deduplicates,
    sells: options.sells ?? false,
    local: options.local,
    callers: [],
    sent: [],
    running: new Map(),
    processes: [],
    frozen: new Set(),
    last: undefined,
    answer: undefined,
    refusal: undefined
  }
  for (const isOther of [false, true]) {
    fingerprints.set(isOther, yield* Harness.fingerprintOf(isOther ? otherPayload : Harness.payload))
  }
  for (const index of [0, 1, 2]) yield* start(world, index)
  for (const command of commands) {
    yield* perform(world, command)
    yield* check(world)
    checkRuns(world)
    if (options.checksWorkers) checkWorkers(world)
  }
  yield* finish(world)
  checkRuns(world)
})
