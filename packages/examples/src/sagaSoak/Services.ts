/**
 * The warehouse, the carrier and the post office of the kill test, which live in the process that drives it and remember all
 * they have done. Each acts once for an order, however often it is asked; they lose requests and replies on a plan.
 */
import { Context, Effect, Layer } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type ServiceError, ServiceRefused, ServiceSilent, ServiceUnavailable } from "./ServiceError.ts"

export const operations = ["reserve", "release", "ship", "receipt", "parcel"] as const
export type Operation = typeof operations[number]

/**
 * | fault | it acts | the client sees |
 * |---|---|---|
 * | `refuse` | no, and says so each time | 409 |
 * | `unavailable` | no | 503 |
 * | `drop` | no | the connection closes |
 * | `lose` | yes | the connection closes |
 * | `hang` | yes | nothing |
 * | `late` | yes, after a while | the answer |
 * | `break` | no, each time | 500 |
 */
export type Fault = "refuse" | "unavailable" | "drop" | "lose" | "hang" | "late" | "break"

/** The n-th request meets the n-th fault; `refuse` and `break` stay. */
export type Plan = Partial<Record<Operation, ReadonlyArray<Fault>>>

/** What a service did for an order. `Again`: nothing, since it was done. `Closed`: released before it was reserved. */
export interface Act {
  readonly orderId: string
  readonly operation: Exclude<Operation, "parcel">
  readonly did: "Done" | "Again" | "Closed" | "Refused"
}

const lateMillis = 100

/** What the services have done, and what they know of each order. */
class Shop {
  readonly acts: Array<Act> = []
  readonly #orders = new Map<string, Standing>()
  readonly #requests = new Map<string, number>()

  /** How often the operation was asked for before. */
  count(orderId: string, operation: Operation): number {
    const key = `${operation} ${orderId}`
    const count = this.#requests.get(key) ?? 0
    this.#requests.set(key, count + 1)
    return count
  }

  act(orderId: string, operation: Operation): Answer {
    const order = this.#standing(orderId)
    switch (operation) {
      case "reserve": {
        const before = order.reservation
        if (before === "none") order.reservation = "held"
        return this.#write(orderId, operation, before === "none" ? "Done" : before === "held" ? "Again" : "Refused")
      }
      case "release": {
        const before = order.reservation
        order.reservation = "released"
        // Nothing was reserved yet: from now on nothing can be.
        return this.#write(orderId, operation, before === "held" ? "Done" : before === "none" ? "Closed" : "Again")
      }
      case "ship":
      case "receipt": {
        const isAgain = order[operation]
        order[operation] = true
        return this.#write(orderId, operation, isAgain ? "Again" : "Done")
      }
      case "parcel":
        return { status: 200, did: order.ship ? "Done" : order.isShipRefused ? "Refused" : "None" }
    }
  }

  refuse(orderId: string, operation: Operation): Answer {
    if (operation === "parcel") return refused
    if (operation === "ship") this.#standing(orderId).isShipRefused = true
    return this.#write(orderId, operation, "Refused")
  }

  #standing(orderId: string): Standing {
    const known = this.#orders.get(orderId)
    const order: Standing = known ?? { reservation: "none", ship: false, isShipRefused: false, receipt: false }
    this.#orders.set(orderId, order)
    return order
  }

  #write(orderId: string, operation: Act["operation"], did: Act["did"]): Answer {
    this.acts.push({ orderId, operation, did })
    return did === "Refused" ? refused : { status: 200, did }
  }
}

/** Listens on a free port of 127.0.0.1 until the scope closes. */
export const serve = Effect.fnUntraced(function*(planOf: (orderId: string) => Plan) {
  const shop = new Shop()
  const server = createServer((request, response) => {
    const named = namedBy(request)
    if (named === undefined) return send(response, { status: 404, did: "" })
    answer(shop, named.orderId, named.operation, planOf(named.orderId), response)
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  return { url: `http://127.0.0.1:${port}`, acts: shop.acts as ReadonlyArray<Act> }
})

const answer = (shop: Shop, orderId: string, operation: Operation, plan: Plan, response: ServerResponse): void => {
  const faults = plan[operation] ?? []
  const last = faults.at(-1)
  const fault = faults[shop.count(orderId, operation)] ?? (last === "refuse" || last === "break" ? last : undefined)
  switch (fault) {
    case "refuse":
      return send(response, shop.refuse(orderId, operation))
    case "break":
      return send(response, { status: 500, did: "" })
    case "unavailable":
      return send(response, { status: 503, did: "" })
    case "drop":
      return void response.socket?.destroy()
    case "lose":
      shop.act(orderId, operation)
      return void response.socket?.destroy()
    case "hang":
      return void shop.act(orderId, operation)
    case "late":
      return void setTimeout(() => send(response, shop.act(orderId, operation)), lateMillis)
    default:
      return send(response, shop.act(orderId, operation))
  }
}

interface Standing {
  reservation: "none" | "held" | "released"
  ship: boolean
  isShipRefused: boolean
  receipt: boolean
}

interface Answer {
  readonly status: number
  readonly did: string
}

const refused: Answer = { status: 409, did: "Refused" }

const namedBy = ({ url = "" }: IncomingMessage) => {
  const [, name, orderId] = url.split("/")
  const operation = operations.find((operation) => operation === name)
  return operation === undefined || orderId === undefined ? undefined : { operation, orderId }
}

const send = (response: ServerResponse, { did, status }: Answer): void => {
  response.writeHead(status, { "content-type": "text/plain" }).end(did)
}

// --- the client

export class Services extends Context.Service<Services, {
  readonly ask: (operation: Operation, orderId: string) => Effect.Effect<string, ServiceError>
}>()("@effect-payments/examples/sagaSoak/Services") {}

export const layer = (url: string, attemptMillis: number): Layer.Layer<Services> =>
  Layer.succeed(Services, {
    ask: Effect.fnUntraced(function*(operation, orderId) {
      const response = yield* Effect.tryPromise({
        try: async (signal) => {
          const within = AbortSignal.any([signal, AbortSignal.timeout(attemptMillis)])
          const response = await fetch(`${url}/${operation}/${orderId}`, { method: "POST", signal: within })
          return { status: response.status, text: await response.text() }
        },
        catch: () => new ServiceSilent()
      })
      switch (response.status) {
        case 200:
          return response.text
        case 409:
          return yield* new ServiceRefused()
        case 503:
          return yield* new ServiceUnavailable()
        default:
          return yield* new ServiceSilent()
      }
    })
  })
