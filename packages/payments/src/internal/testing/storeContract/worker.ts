/**
 * A process of a store: it asks its store what it is told to ask, all at once, until nobody tells it anything any more.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { IdempotencyStore, type StoreUnavailable } from "../../../IdempotencyStore.ts"
import { Stdio } from "../../effect/process.ts"
import { WorkerFailed } from "./crew.ts"
import { Ask, messages, type Operation, operations, Said, toLine } from "./wire.ts"

type Store = IdempotencyStore["Service"]
type Handler = (request: Schema.Json) => Effect.Effect<Schema.Json, StoreUnavailable | Schema.SchemaError>

/** @internal */
export const worker: Effect.Effect<void, WorkerFailed, IdempotencyStore | Stdio.Stdio> = Effect.gen(function*() {
  const handlers = handlersOf(yield* IdempotencyStore)
  const stdio = yield* Stdio.Stdio
  const lines = yield* Queue.unbounded<string>()
  const say = (said: typeof Said.Type) => Effect.flatMap(encode(said), (line) => Queue.offer(lines, line))
  const answer = ({ number, operation, request }: typeof Ask.Type) =>
    handlers[operation](request).pipe(
      Effect.flatMap((reply) => say({ _tag: "Answered", number, reply })),
      Effect.catchTag("StoreUnavailable", ({ detail, operation }) =>
        say({ _tag: "Unavailable", number, operation, detail }))
    )
  const running = yield* FiberSet.make<boolean, Schema.SchemaError>()
  yield* say({ _tag: "Up" })
  const told = messages(Ask)(stdio.stdin).pipe(Stream.runForEach((ask) => FiberSet.run(running, answer(ask))))
  yield* Effect.raceAllFirst([
    told,
    FiberSet.join(running),
    Stream.run(Stream.fromQueue(lines), stdio.stdout())
  ])
}).pipe(
  Effect.scoped,
  Effect.catchTags({
    PlatformError: () => Effect.fail(new WorkerFailed({ detail: "its standard input or output failed" })),
    SchemaError: () => Effect.fail(new WorkerFailed({ detail: "it was told what is no question" })),
    TooLong: () => Effect.fail(new WorkerFailed({ detail: "it was told too much" }))
  })
)

const encode = toLine(Said)

const handlersOf = (store: Store): Readonly<Record<Operation, Handler>> => ({
  claim: handle(operations.claim, store.claim),
  complete: handle(operations.complete, store.complete),
  release: handle(operations.release, store.release),
  renew: handle(operations.renew, store.renew),
  resolve: handle(operations.resolve, store.resolve),
  inspect: handle(operations.inspect, store.inspect),
  list: handle(operations.list, store.list),
  evict: handle(operations.evict, ({ force, ...id }) => store.evict(id, { force })),
  sweep: handle(operations.sweep, store.sweep)
})

const handle = <Request extends Schema.Codec<unknown, unknown>, Reply extends Schema.Codec<unknown, unknown>>(
  { reply, request }: { readonly request: Request; readonly reply: Reply },
  run: (request: Request["Type"]) => Effect.Effect<Reply["Type"], StoreUnavailable>
): Handler => {
  const decode = Schema.decodeEffect(Schema.toCodecJson(request))
  const encode = Schema.encodeEffect(Schema.toCodecJson(reply))
  return (json) => Effect.flatMap(Effect.flatMap(decode(json), run), encode)
}
