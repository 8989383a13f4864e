/**
 * The proxy: passes each connection on, message by message, and does to it what the plan says.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import { NetAddress, Socket, SocketServer } from "../../effect/socket.ts"
import { type Cut, type Fault, Plans, type Rule } from "./plan.ts"
import type { Message, Protocol, Splitter } from "./protocol.ts"

/** @internal */
export interface Options {
  readonly protocol: Protocol
  readonly upstream: Effect.Effect<Socket.Socket>
  readonly reset: Effect.Effect<unknown, never, never>
}

/** The server listens where others can reach it. */
class NotLoopback extends Error {
  readonly _tag = "NotLoopback"
  override readonly name = "NotLoopback"
  constructor() {
    super("a proxy of StoreFaults listens on 127.0.0.1: it lets everyone in that the store lets in")
  }
}

interface Proxy extends Options {
  readonly plans: Plans
  connections: number
  /** Opened for those connections of which only one end is left, when the other one finds out. */
  healed: Latch.Latch
}

/** @internal */
export const make = Effect.fnUntraced(function*(options: Options) {
  const { address, run } = yield* SocketServer.SocketServer
  if (!NetAddress.isInetAddress(address) || !NetAddress.isLoopback(address.address)) {
    return yield* Effect.die(new NotLoopback())
  }
  const plans = new Plans()
  const proxy: Proxy = { ...options, plans, connections: 0, healed: Latch.makeUnsafe(false) }
  const cutOff = Effect.sync(() => {
    proxy.healed.openUnsafe()
    proxy.healed = Latch.makeUnsafe(false)
  })
  yield* Effect.forkScoped(run((client) => serve(proxy, client)))
  return {
    port: address.port,
    plan: (...rules: ReadonlyArray<Rule>) => Effect.sync(() => plans.plan(rules)),
    cutOff,
    heal: Effect.andThen(Effect.sync(() => plans.plan([])), cutOff),
    requests: Effect.sync(() => plans.requests),
    struck: Effect.sync(() => plans.struck),
    untilStruck: (count: number) => plans.untilStruck(count)
  }
})

/** One end of a connection. */
interface End {
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, Socket.SocketError>
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, Socket.SocketError>
}

const endOf = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { write } = yield* socket.writer
  return { pull: yield* Socket.readerBytes(socket), write } satisfies End
})

const serve = (proxy: Proxy, client: Socket.Socket): Effect.Effect<void> =>
  Effect.gen(function*() {
    const connection = ++proxy.connections
    const down = yield* endOf(client)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const up = yield* Scope.provide(Effect.flatMap(proxy.upstream, endOf), scope)
    const { replies, requests } = proxy.protocol.connect()
    const asked: Array<Fault | undefined> = []
    const how = yield* Effect.raceFirst(
      forward(down, up, requests, (message, bytes) =>
        passRequest(proxy, connection, asked, { down, up }, message, bytes)),
      forward(up, down, replies, (message, bytes) =>
        passReply(proxy, asked, down, message, bytes))
    )
    if (how.cut === "halfOpen") {
      yield* Scope.close(scope, Exit.void)
      yield* how.healed.await
    }
    // Both ends close with the scope.
    if (how.cut !== "close") {
      yield* proxy.reset
    }
  }).pipe(Effect.scoped, Effect.ignore)

interface Ended {
  readonly cut: Cut
  readonly healed: Latch.Latch
}

type Passed = Effect.Effect<Ended | undefined, Socket.SocketError>

const passRequest = (
  proxy: Proxy,
  connection: number,
  asked: Array<Fault | undefined>,
  { down, up }: { readonly down: End; readonly up: End },
  { answer, counts, text }: Message,
  bytes: Uint8Array
): Passed => {
  if (answer !== undefined) return pass(down, answer)
  if (!counts) return pass(up, bytes)
  const fault = proxy.plans.meet(connection, text)
  if (fault?._tag === "DropRequest") return strike(proxy, fault.cut)
  asked.push(fault)
  if (fault?._tag !== "DelayRequest") return pass(up, bytes)
  proxy.plans.strike()
  return Effect.andThen(waitFor(fault.until), pass(up, bytes))
}

const passReply = (
  proxy: Proxy,
  asked: Array<Fault | undefined>,
  down: End,
  { counts }: Message,
  bytes: Uint8Array
): Passed => {
  const fault = counts ? asked.shift() : undefined
  if (fault?._tag === "DropReply") return strike(proxy, fault.cut)
  if (fault?._tag !== "DelayReply") return pass(down, bytes)
  proxy.plans.strike()
  return Effect.andThen(waitFor(fault.until), pass(down, bytes))
}

// Who waits for the strike may heal at once: it is taken down first what is healed then.
const strike = (proxy: Proxy, cut: Cut): Passed => {
  const ended = { cut, healed: proxy.healed }
  proxy.plans.strike()
  return Effect.succeed(ended)
}

const pass = (end: End, bytes: Uint8Array): Passed => Effect.as(end.write(bytes), undefined)

const waitFor = (until: Duration.Input | Effect.Effect<unknown>): Effect.Effect<unknown> =>
  Effect.isEffect(until) ? until : Effect.sleep(until)

// Longer messages are none of a store's.
const messageMaxBytes = 64 * 1024 * 1024

const closed: Ended = { cut: "close", healed: Latch.makeUnsafe(true) }

/** Passes messages on until the connection is cut by plan, or ends of its own: what is left then goes on as it is. */
const forward = Effect.fnUntraced(function*(
  from: End,
  to: End,
  split: Splitter,
  passOn: (message: Message, bytes: Uint8Array) => Passed
) {
  let rest = new Uint8Array(0)
  for (;;) {
    const chunks = yield* Effect.catch(from.pull, () => Effect.succeed(undefined))
    if (chunks === undefined) {
      if (rest.length > 0) yield* to.write(rest)
      return closed
    }
    rest = concat([rest, ...chunks])
    if (rest.length > messageMaxBytes) return closed
    for (let message = split(rest); message !== undefined; message = split(rest)) {
      const bytes = rest.subarray(0, message.length)
      rest = rest.subarray(message.length)
      const cut = yield* passOn(message, bytes)
      if (cut !== undefined) return cut
    }
  }
})

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
