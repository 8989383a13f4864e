// A network between a contender and its Redis that loses a reply.
import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { StoreFaults } from "effect-payments/testing"

export interface Network {
  readonly url: string
  /** The server does the `nth` request from now on, and the connection ends before its reply. */
  readonly loseReply: (nth: number) => Promise<void>
  /** How many replies it has lost by the last plan. */
  readonly lost: () => Promise<number>
  readonly close: () => Promise<void>
}

export const before = async (port: number): Promise<Network> => {
  const runtime = ManagedRuntime.make(
    StoreFaults.layer({
      protocol: StoreFaults.redis,
      upstream: NodeSocket.makeNet({ host: "127.0.0.1", port }),
      reset: Effect.map(NodeSocket.NetSocket, (socket) => socket.resetAndDestroy())
    }).pipe(Layer.provide(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 })))
  )
  const faults = await runtime.runPromise(StoreFaults.StoreFaults)
  return {
    url: `redis://127.0.0.1:${faults.port}`,
    loseReply: (nth) => runtime.runPromise(faults.plan({ nth, fault: StoreFaults.dropReply() })),
    lost: () => runtime.runPromise(faults.struck),
    close: () => runtime.dispose()
  }
}
