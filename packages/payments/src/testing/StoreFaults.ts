/**
 * A proxy between a store's client and its server that loses, delays and cuts what goes through it, on a plan: what a
 * network does to a store, and what `StoreContract` alone cannot show.
 *
 * It knows where a request begins and ends, so that a fault strikes the same message each time, however the bytes come. Redis
 * and Postgres are known; another protocol is two functions ({@link Protocol}).
 *
 * The failures that it looks for: a claim whose reply is lost, and that is taken for somebody else's; a save whose reply is
 * lost, after which the payment is made again; a caller that waits for ever on a connection whose other end is gone.
 *
 * It does not show what a crash of the server leaves behind: kill it for that.
 *
 * Read `StoreContract` next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { IdempotencyStore, type StoreUnavailable } from "../IdempotencyStore.ts"
import type { Socket, SocketServer } from "../internal/effect/socket.ts"
import * as kit from "../internal/testing/storeContract/kit.ts"
import { cases } from "../internal/testing/storeFaults/cases.ts"
import type * as plans from "../internal/testing/storeFaults/plan.ts"
import * as internalPostgres from "../internal/testing/storeFaults/postgres.ts"
import type * as protocols from "../internal/testing/storeFaults/protocol.ts"
import * as proxy from "../internal/testing/storeFaults/proxy.ts"
import * as internalRedis from "../internal/testing/storeFaults/redis.ts"
import type { Case, ContractBroken } from "./StoreContract.ts"

/**
 * How the client learns that its message is lost: `close` (the connection ends in an orderly way), `reset` (RST), or
 * `halfOpen`: the server's end is gone, the client's stays open, and it hears nothing, until `cutOff`.
 *
 * @category models
 * @since 0.1.0
 */
export type Cut = plans.Cut

/**
 * What a request meets: see {@link dropRequest}, {@link dropReply}, {@link delayRequest} and {@link delayReply}.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = plans.Fault

/**
 * A request that came by: its `number` among all since the proxy started and that of its connection, both from 1, and its
 * `text`: the words of a Redis command, or the messages to Postgres with statement and parameters; 64 KiB of it at most.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = plans.Request

/**
 * Strikes the `nth` request (from 1, default 1) of those that `when` picks (default: all), and those after it, `times` of
 * them (default 1). What opens a connection to Postgres is not counted; the commands that open one to Redis are. `when` is a
 * pattern for the request's text, or a function.
 *
 * @category models
 * @since 0.1.0
 */
export type Rule = plans.Rule

/**
 * How the bytes of a connection are cut into messages. `connect` makes two functions for a new connection, of what the client
 * sends and of what the server does: each answers with the first message of the bytes that it is given, or with `undefined`
 * while it is not complete. A message that `counts` is a request, or the one reply to it, in the same order.
 *
 * @category models
 * @since 0.1.0
 */
export type Protocol = protocols.Protocol

/**
 * RESP 2 and 3. Without pub/sub, whose commands have several replies.
 *
 * @category protocols
 * @since 0.1.0
 */
export const redis: Protocol = internalRedis.redis

/**
 * The protocol of Postgres, version 3. The proxy says no to encryption: a client that insists on it does not connect.
 *
 * @category protocols
 * @since 0.1.0
 */
export const postgres: Protocol = internalPostgres.postgres

/**
 * The proxy, and the hand on it.
 *
 * - `port`: where it listens on 127.0.0.1.
 * - `plan`: what the requests from now on meet. Replaces what is left of the plan before, and counts from anew; each rule
 *   counts every request that it picks, and the first one that strikes has it.
 * - `requests`: those that have come by, the last 1000.
 * - `struck`: how many faults of this plan have struck. `untilStruck` waits for so many.
 * - `cutOff`: clients whose connections were left half-open find out, by a reset.
 * - `heal`: `cutOff`, and nothing is struck any more.
 *
 * @category services
 * @since 0.1.0
 */
export class StoreFaults extends Context.Service<StoreFaults, {
  readonly port: number
  readonly plan: (...rules: ReadonlyArray<Rule>) => Effect.Effect<void>
  readonly requests: Effect.Effect<ReadonlyArray<Request>>
  readonly struck: Effect.Effect<number>
  readonly untilStruck: (count: number) => Effect.Effect<void>
  readonly cutOff: Effect.Effect<void>
  readonly heal: Effect.Effect<void>
}>()("effect-payments/testing/StoreFaults") {}

/**
 * - `upstream` dials the server, once for each connection.
 * - `reset` ends the client's connection by RST, which Effect's sockets have no word for. It runs in the context of that
 *   connection, in which the server's layer has put the socket.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R> {
  readonly protocol: Protocol
  readonly upstream: Effect.Effect<Socket.Socket>
  readonly reset: Effect.Effect<unknown, never, R>
}

/**
 * A proxy on the socket server that is given, which has to listen on the loopback interface: dies with `NotLoopback`
 * otherwise. Its connections end with the layer.
 *
 * **Gotchas**
 *
 * Take a server of platform-node: its connections carry the `NetSocket` that `reset` needs. Messages of more than 64 MiB end the
 * connection. Delays run on the clock of the layer.
 *
 * **Example**
 *
 * ```ts
 * import { NodeRedis, NodeSocket, NodeSocketServer } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { IdempotencyStore } from "effect-payments"
 * import { StoreFaults } from "effect-payments/testing"
 *
 * const faults = StoreFaults.layer({
 *   protocol: StoreFaults.redis,
 *   upstream: NodeSocket.makeNet({ host: "127.0.0.1", port: 6379 }),
 *   reset: Effect.map(NodeSocket.NetSocket, (socket) => socket.resetAndDestroy())
 * }).pipe(Layer.provide(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 })))
 *
 * const client = Layer.unwrap(Effect.map(StoreFaults.StoreFaults, ({ port }) =>
 *   NodeRedis.layer({ url: `redis://127.0.0.1:${port}` })))
 *
 * const store = IdempotencyStore.layerStoreRedis().pipe(Layer.provide(client), Layer.provideMerge(faults))
 * Layer.isLayer(store) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R>(
  options: Options<R>
): Layer.Layer<StoreFaults, never, SocketServer.SocketServer> =>
  Layer.effect(
    StoreFaults,
    // What a connection carries is put there by the server.
    proxy.make({ ...options, reset: options.reset as Effect.Effect<unknown> })
  )

/**
 * The request does not arrive, nor anything behind it on its connection. The client learns of it by `cut`, default `close`.
 *
 * @category faults
 * @since 0.1.0
 */
export const dropRequest = (options?: { readonly cut?: Cut | undefined }): Fault => ({
  _tag: "DropRequest",
  cut: options?.cut ?? "close"
})

/**
 * The server has done it, and its reply does not arrive, nor anything behind it. The client learns of it by `cut`, default
 * `close`.
 *
 * @category faults
 * @since 0.1.0
 */
export const dropReply = (options?: { readonly cut?: Cut | undefined }): Fault => ({
  _tag: "DropReply",
  cut: options?.cut ?? "close"
})

/**
 * The request waits, and what comes behind it on its connection: for so long, or until an effect ends. It arrives also when
 * its sender has gone meanwhile.
 *
 * @category faults
 * @since 0.1.0
 */
export const delayRequest = (until: Duration.Input | Effect.Effect<unknown>): Fault => ({ _tag: "DelayRequest", until })

/**
 * The reply waits, and what comes behind it on its connection: for so long, or until an effect ends.
 *
 * @category faults
 * @since 0.1.0
 */
export const delayReply = (until: Duration.Input | Effect.Effect<unknown>): Fault => ({ _tag: "DelayReply", until })

/**
 * The cases of the `IdempotencyStore` whose server is reached through a {@link StoreFaults}, for a test runner of your choice:
 * each transition, each of its requests struck in turn, by the loss of the request or of the reply, with the connection
 * closed, reset and left half-open. What failed is sent again, as an owner does, and has to have happened once.
 *
 * **Details**
 *
 * `patience` (default 1 second) is how long an answer is waited for. Cases run one after another, on the real clock, and fail
 * with `ContractBroken`, or with the `StoreUnavailable` of a store that does not recover.
 *
 * **Gotchas**
 *
 * A case fails when the store sends nothing through the proxy. What a client sends of its own, such as a ping, may be struck
 * in place of the store's request: turn that off.
 *
 * **Example**
 *
 * ```ts
 * import { StoreFaults } from "effect-payments/testing"
 *
 * // With a test runner: it(name, () => Effect.runPromise(Effect.provide(run, store)))
 * StoreFaults.idempotencyStore().length >= 40 // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const idempotencyStore = (
  options?: { readonly patience?: Duration.Input | undefined }
): ReadonlyArray<Case<IdempotencyStore | StoreFaults>> =>
  cases.map(({ name, run }) => ({
    name,
    run: Effect.gen(function*(): Effect.fn.Return<
      void,
      ContractBroken | StoreUnavailable,
      IdempotencyStore | StoreFaults
    > {
      const store = yield* IdempotencyStore
      const faults = yield* StoreFaults
      const made = yield* kit.make(store, leaseMillis, () => Effect.void)
      const patience = Duration.fromInputUnsafe(options?.patience ?? "1 second")
      yield* Effect.ensuring(run(made, faults, patience), faults.heal)
    })
  }))

// No lease lapses in these cases.
const leaseMillis = 600_000
