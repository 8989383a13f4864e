/**
 * Answers a call about a run on a workflow engine.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Digest } from "../effect/crypto.ts"
import { type DurableDeferred, WorkflowEngine } from "../effect/workflow.ts"
import { compile, type Compiled, shapeOf } from "../saga/compile.ts"
import { fold, initial } from "../saga/decide.ts"
import {
  HistoryFull,
  HistoryUnreadable,
  IdConflict,
  InFlight,
  NotFound,
  PayloadInvalid,
  type Reason,
  Redefined,
  SagaError,
  SagaInvalid,
  SignalInvalid
} from "../saga/errors.ts"
import { type Execution, executionOf } from "../saga/execution.ts"
import { Name, runId } from "../saga/record.ts"
import type { Untyped } from "../saga/step.ts"
import { type Host, run } from "./course.ts"
import {
  cancelled,
  type History,
  message,
  nameLengthMax,
  opening,
  redefined,
  type SagaWorkflow,
  stuck,
  wake,
  wakesMax,
  workflowOf
} from "./protocol.ts"

/** @internal */
export interface Options {
  readonly awaitMillis: number
  readonly payloadLimitBytes: number
  readonly resultLimitBytes: number
}

type Ended = Execution<unknown, unknown>
type Answer<A> = Effect.Effect<A, SagaError>

interface Ready {
  readonly compiled: Compiled
  /** Names the definition. */
  readonly hash: string
}

/** One run, as calls see it. */
interface Found extends Ready {
  readonly workflow: SagaWorkflow
  readonly executionId: string
  readonly id: string
}

/** Which stuck counts as an end: one after that, and for who wanted it undone one that knows of it. */
interface After {
  readonly times: number
  readonly knowsCancel: boolean
}

const anyEnd: After = { times: -1, knowsCancel: false }

const pollMinMillis = 50
const pollMaxMillis = 1000

/** @internal */
export class Cluster {
  private readonly host: Host
  private readonly options: Options
  private readonly ready = new WeakMap<Untyped, Ready>()
  private senders = 0

  constructor(host: Host, options: Options) {
    this.host = host
    this.options = options
  }

  /** Runs of this saga may run here from now on. */
  register(saga: Untyped): Effect.Effect<void, SagaError, Scope.Scope> {
    return Effect.flatMap(
      this.prepare(saga),
      ({ compiled, hash }) =>
        this.host.engine.register(
          workflowOf(saga),
          ({ id, payload }) => run(this.host, compiled, hash, runId(saga.name, id), payload) as Effect.Effect<History>
        )
    )
  }

  // --- calls

  execute(saga: Untyped, payload: unknown, id: string): Answer<Ended> {
    return Effect.flatMap(this.open(saga, payload, id), ({ found, stored }) => {
      const { executionId, workflow } = found
      const run = { executionId, payload: { id, payload: stored } }
      // Once it is sent it runs, however short the wait for it is.
      return Effect.flatMap(
        Effect.andThen(
          outside(this.host.engine.execute(workflow, { ...run, discard: true })),
          Effect.raceFirst(outside(this.host.engine.execute(workflow, run)), this.end(found, anyEnd))
        ),
        (history) => tell(found.compiled, history)
      )
    })
  }

  start(saga: Untyped, payload: unknown, id: string): Answer<void> {
    return Effect.flatMap(
      this.open(saga, payload, id),
      ({ found: { executionId, workflow }, stored }) =>
        Effect.asVoid(outside(
          this.host.engine.execute(workflow, { executionId, payload: { id, payload: stored }, discard: true })
        ))
    )
  }

  result(saga: Untyped, id: string): Answer<Ended> {
    return Effect.flatMap(this.known(saga, id), (found) => this.ended(found, anyEnd))
  }

  cancel(saga: Untyped, id: string): Answer<Ended> {
    return Effect.gen({ self: this }, function*() {
      const found = yield* this.known(saga, id)
      yield* this.done(found, cancelled, undefined)
      const now = yield* this.stuckNow(found)
      if (now === undefined) return yield* this.ended(found, { times: -1, knowsCancel: true })
      yield* this.done(found, wake(now.times), "Cancel")
      return yield* this.ended(found, { times: now.times, knowsCancel: true })
    })
  }

  resume(saga: Untyped, id: string): Answer<Ended> {
    return Effect.gen({ self: this }, function*() {
      const found = yield* this.known(saga, id)
      const now = yield* this.stuckNow(found)
      if (now === undefined) {
        // One that stands still for its definition is asked again.
        yield* outside(this.host.engine.resume(found.workflow, found.executionId))
        return yield* this.ended(found, anyEnd)
      }
      if (now.times >= wakesMax) return yield* fail(new HistoryFull({ entriesMax: wakesMax }))
      yield* this.done(found, wake(now.times), "Resume")
      return yield* this.ended(found, { times: now.times, knowsCancel: false })
    })
  }

  signal(saga: Untyped, step: string, id: string, event: string, value: unknown): Answer<boolean> {
    return Effect.gen({ self: this }, function*() {
      const found = yield* this.find(saga, id)
      const codec = found.compiled.steps.find(({ name }) => name === step)?.wait?.message
      if (codec === undefined) return yield* fail(new SagaInvalid({ detail: `it does not await "${step}"` }))
      if (!isName(event)) {
        return yield* fail(
          new SignalInvalid({
            detail: "its event must be 1 to 255 printable ASCII characters, no space at either end"
          })
        )
      }
      const stored = codec.store(value, this.options.resultLimitBytes)
      if (Result.isFailure(stored)) return yield* fail(new SignalInvalid({ detail: `it is ${stored.failure}` }))
      if (Result.isFailure(codec.restore(stored.success))) {
        return yield* fail(new SignalInvalid({ detail: "it is not what its schema reads" }))
      }
      const sender = `${this.host.nonces.prefix}.${this.senders++}`
      if ((yield* this.read(found, message(step))) !== undefined) return false
      yield* this.done(found, message(step), { sender, event, value: stored.success })
      return (yield* this.read(found, message(step)))?.sender === sender
    })
  }

  // --- which run

  private prepare(saga: Untyped): Answer<Ready> {
    return Effect.suspend(() => {
      const known = this.ready.get(saga)
      if (known !== undefined) return Effect.succeed(known)
      if (saga.name.length > nameLengthMax) {
        return fail(new SagaInvalid({ detail: `on a cluster its name is at most ${nameLengthMax} characters` }))
      }
      return Effect.gen({ self: this }, function*() {
        const compiled = yield* compile(saga, this.host.digest)
        const hex = yield* this.host.digest.digestHex(Digest.sha256, encoder.encode(compiled.definition))
        const ready = { compiled, hash: hex.slice(0, 32) }
        this.ready.set(saga, ready)
        return ready
      })
    })
  }

  private find(saga: Untyped, id: string): Answer<Found> {
    return isName(id)
      ? Effect.gen({ self: this }, function*() {
        const ready = yield* this.prepare(saga)
        const workflow = workflowOf(saga)
        return { ...ready, workflow, id, executionId: yield* workflow.executionId({ id, payload: "" }) }
      })
      : fail(new SagaInvalid({ detail: "its id must be 1 to 255 printable ASCII characters, no space at either end" }))
  }

  private known(saga: Untyped, id: string): Answer<Found> {
    return Effect.tap(
      this.find(saga, id),
      (found) =>
        Effect.flatMap(this.read(found, opening), (known) => known === undefined ? fail(new NotFound({})) : Effect.void)
    )
  }

  /** Ties the id to the payload: the first to ask for it decides. */
  private open(
    saga: Untyped,
    payload: unknown,
    id: string
  ): Answer<{ readonly found: Found; readonly stored: string }> {
    return Effect.gen({ self: this }, function*() {
      const found = yield* this.find(saga, id)
      const { payloadLimitBytes } = this.options
      const canonical = found.compiled.payload.canonical(payload, payloadLimitBytes)
      if (Result.isFailure(canonical)) return yield* fail(new PayloadInvalid({ detail: canonical.failure }))
      const stored = found.compiled.payload.store(payload, payloadLimitBytes)
      if (Result.isFailure(stored)) return yield* fail(new PayloadInvalid({ detail: stored.failure }))
      const hex = yield* this.host.digest.digestHex(Digest.sha256, encoder.encode(canonical.success))
      const fingerprint = `v1:${hex}`
      let known = yield* this.read(found, opening)
      if (known === undefined) {
        yield* this.done(found, opening, fingerprint)
        known = yield* this.read(found, opening)
      }
      return known === fingerprint ? { found, stored: stored.success } : yield* fail(new IdConflict({}))
    })
  }

  // --- its end

  private ended(found: Found, after: After): Answer<Ended> {
    return Effect.flatMap(this.end(found, after), (history) => tell(found.compiled, history))
  }

  /** Asked again and again: what runs on another runner does not tell this one. */
  private end(found: Found, after: After): Answer<History> {
    return Effect.gen({ self: this }, function*() {
      const { executionId, workflow } = found
      const clock = yield* Clock.Clock
      const until = clock.currentTimeMillisUnsafe() + this.options.awaitMillis
      for (let pause = pollMinMillis;; pause = Math.min(pause * 1.5, pollMaxMillis)) {
        const polled = yield* outside(this.host.engine.poll(workflow, executionId))
        if (Option.isSome(polled)) {
          if (polled.value._tag === "Complete") return yield* polled.value.exit
          const now = yield* this.stuckNow(found)
          const isEnd = now !== undefined && now.times > after.times && (now.cancelKnown || !after.knowsCancel)
          if (isEnd) return now.history
          const differs = yield* this.read(found, redefined(found.hash))
          if (now === undefined && differs !== undefined) return yield* fail(new Redefined({ detail: differs }))
        }
        const left = until - clock.currentTimeMillisUnsafe()
        if (left <= 0) return yield* fail(new InFlight({ retryAfter: Duration.millis(pollMaxMillis) }))
        yield* Effect.sleep(Duration.millis(Math.min(pause, left)))
      }
    })
  }

  private stuckNow(found: Found) {
    return Effect.gen({ self: this }, function*() {
      for (let times = 0;; times++) {
        const told = yield* this.read(found, stuck(times))
        if (told === undefined) return undefined
        if ((yield* this.read(found, wake(times))) === undefined) return { ...told, times }
      }
    })
  }

  // --- deferreds, from outside

  private read<S extends Schema.Constraint>(
    { executionId, workflow }: Found,
    deferred: DurableDeferred.DurableDeferred<S>
  ): Effect.Effect<S["Type"] | undefined> {
    const read = Effect.provideService(
      this.host.engine.deferredResult(deferred),
      WorkflowEngine.WorkflowInstance,
      WorkflowEngine.WorkflowInstance.initial(workflow, executionId)
    )
    return Effect.map(read, (exit) => Option.isSome(exit) && Exit.isSuccess(exit.value) ? exit.value.value : undefined)
  }

  private done<S extends Schema.Constraint>(
    { executionId, workflow }: Found,
    deferred: DurableDeferred.DurableDeferred<S>,
    value: S["Type"]
  ): Effect.Effect<void> {
    return outside(this.host.engine.deferredDone(deferred, {
      workflowName: workflow._tag,
      executionId,
      deferredName: deferred.name,
      exit: Exit.succeed(value)
    })) as Effect.Effect<void>
  }
}

/** A run belongs to nobody: it does not end with the workflow in which it was asked for. */
const outside = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(
    self,
    (context: Context.Context<R>) => Context.omit(WorkflowEngine.WorkflowInstance)(context) as Context.Context<R>
  )

const tell = (compiled: Compiled, { definition, events, payload }: History): Answer<Ended> => {
  const shape = definition === compiled.definition ? compiled.shape : shapeOf(definition)
  const restored = compiled.payload.restore(payload)
  if (shape === undefined) return fail(new HistoryUnreadable({ detail: "its definition" }))
  if (Result.isFailure(restored)) return fail(new HistoryUnreadable({ detail: "the payload" }))
  const execution = executionOf(compiled, shape, fold(shape, initial(shape), events), restored.success)
  if (Result.isFailure(execution)) return fail(new HistoryUnreadable({ detail: execution.failure }))
  return execution.success === undefined
    ? fail(new HistoryUnreadable({ detail: "its state" }))
    : Effect.succeed(execution.success)
}

const encoder = new TextEncoder()

const isName = Schema.is(Name)

const fail = (reason: Reason): Effect.Effect<never, SagaError> => Effect.fail(new SagaError({ reason }))
