/**
 * The processes that a contract starts over one store, and that store as it is asked through them.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type IdempotencyStore, StoreUnavailable } from "../../../IdempotencyStore.ts"
import { ChildProcess, ChildProcessSpawner } from "../../effect/process.ts"
import { Ask, messages, type Operation, operations, Said, toLine } from "./wire.ts"

type Store = IdempotencyStore["Service"]

/** @internal */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", { detail: Schema.String }) {
  override get message(): string {
    return `a process of the contract failed: ${this.detail}`
  }
}

/** @internal A process, and the store as it is asked through it. */
export interface Worker {
  readonly store: Store
  /** Ends it with SIGKILL, whatever it is at, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
}

/** @internal Four processes over one store. */
export interface Crew {
  /** The store as it is asked through each process. */
  readonly stores: ReadonlyArray<Store>
  /** Asks the processes one after the other. */
  readonly spread: Store
  /** One more. */
  readonly start: Effect.Effect<Worker, WorkerFailed, Scope.Scope>
  /** What has gone wrong with a process that nobody has killed. Who waits for its answer waits for ever. */
  readonly failed: Effect.Effect<never, WorkerFailed>
}

type Send = (operation: Operation, request: Schema.Json) => Effect.Effect<Schema.Json, StoreUnavailable>
type Fail = (detail: string) => Effect.Effect<boolean>

/** For a process to come up, and for an answer. */
const patience = "1 minute"

const processes = 4

/** @internal Each process is killed with the scope. */
export const make = Effect.fnUntraced(function*(command: ChildProcess.StandardCommand) {
  const failed = yield* Deferred.make<never, WorkerFailed>()
  const fail: Fail = (detail) => Deferred.fail(failed, new WorkerFailed({ detail }))
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const one = Effect.raceFirst(start(command, fail), Deferred.await(failed)).pipe(
    Effect.provideService(ChildProcessSpawner.ChildProcessSpawner, spawner)
  )
  const started = yield* Effect.forEach(Array.from({ length: processes }), () => one, { concurrency: "unbounded" })
  const workerOf = ({ kill, send }: Effect.Success<typeof one>): Worker => ({ kill, store: toStore(send, fail) })
  let turn = 0
  const made: Crew = {
    stores: started.map((process) => workerOf(process).store),
    spread: toStore(
      (operation, request) => Effect.suspend(() => started[turn++ % processes]!.send(operation, request)),
      fail
    ),
    start: Effect.map(one, workerOf),
    failed: Deferred.await(failed)
  }
  return made
})

const start = Effect.fnUntraced(function*(command: ChildProcess.StandardCommand, fail: Fail) {
  const inTime = Effect.timeoutOrElse({
    duration: patience,
    orElse: () => Effect.andThen(fail(`it has been silent for ${patience}`), Effect.never)
  })
  const asks = yield* Queue.unbounded<string>()
  const handle = yield* ChildProcess.make(command.command, command.args, {
    ...command.options,
    stdin: Stream.encodeText(Stream.fromQueue(asks)),
    stdout: "pipe",
    stderr: "inherit",
    killSignal: "SIGKILL"
  }).pipe(Effect.mapError(({ reason }) => new WorkerFailed({ detail: `it does not start (${reason._tag})` })))
  const up = yield* Deferred.make<void>()
  const asked = new Map<number, Deferred.Deferred<Schema.Json, StoreUnavailable>>()
  let isKilled = false
  const hear = (said: typeof Said.Type): Effect.Effect<boolean> => {
    if (said._tag === "Up") return Deferred.succeed(up, undefined)
    const waiting = asked.get(said.number)
    if (waiting === undefined) return fail("it answers what nobody has asked")
    asked.delete(said.number)
    return said._tag === "Answered"
      ? Deferred.succeed(waiting, said.reply)
      : Deferred.fail(waiting, new StoreUnavailable({ operation: said.operation, detail: said.detail }))
  }
  yield* messages(Said)(handle.stdout).pipe(
    Stream.runForEach(hear),
    Effect.matchEffect({
      onFailure: ({ _tag }) => fail(`what it says is no answer (${_tag})`),
      onSuccess: () => isKilled ? Effect.void : fail("it has ended")
    }),
    Effect.forkScoped
  )
  yield* inTime(Deferred.await(up))
  let numbers = 0
  const send: Send = Effect.fnUntraced(function*(operation, request) {
    const number = numbers++
    const waiting = yield* Deferred.make<Schema.Json, StoreUnavailable>()
    asked.set(number, waiting)
    yield* Queue.offer(asks, yield* Effect.orDie(encode({ number, operation, request })))
    return yield* inTime(Deferred.await(waiting))
  })
  return {
    send,
    kill: Effect.suspend(() => {
      isKilled = true
      return Effect.orDie(handle.kill({ killSignal: "SIGKILL" }))
    })
  }
})

const encode = toLine(Ask)

const toStore = (send: Send, fail: Fail): Store => {
  const ask = <Request extends Schema.Codec<unknown, unknown>, Reply extends Schema.Codec<unknown, unknown>>(
    operation: Operation,
    { reply, request }: { readonly request: Request; readonly reply: Reply }
  ) => {
    const encode = Schema.encodeEffect(Schema.toCodecJson(request))
    const decode = Schema.decodeEffect(Schema.toCodecJson(reply))
    const unreadable = Effect.andThen(fail(`its answer to ${operation} is none`), Effect.never)
    return (asked: Request["Type"]): Effect.Effect<Reply["Type"], StoreUnavailable> =>
      Effect.orDie(encode(asked)).pipe(
        Effect.flatMap((json) => send(operation, json)),
        Effect.flatMap((json) => Effect.catchTag(decode(json), "SchemaError", () => unreadable))
      )
  }
  const evict = ask("evict", operations.evict)
  return {
    claim: ask("claim", operations.claim),
    complete: ask("complete", operations.complete),
    release: ask("release", operations.release),
    renew: ask("renew", operations.renew),
    resolve: ask("resolve", operations.resolve),
    inspect: ask("inspect", operations.inspect),
    list: ask("list", operations.list),
    evict: (id, { force }) => evict({ ...id, force }),
    sweep: ask("sweep", operations.sweep)
  }
}
