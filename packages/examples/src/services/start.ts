/**
 * Starts the services, each as a process of its own with a database of its own, and starts one again that has ended: on the
 * same port, with what it has written down.
 */
import { Context, Deferred, Effect, Layer, Ref } from "effect"
import { FetchHttpClient } from "effect/http"
import { join } from "node:path"
import * as Child from "../child.ts"
import * as Api from "./Api.ts"
import { client, type Urls } from "./client.ts"
import type { Entry } from "./Journal.ts"
import type { Name, Task } from "./Task.ts"

/** A deed, and the service that did it. */
export interface Deed extends Entry {
  readonly service: Name
}

export class Services extends Context.Service<Services, {
  readonly urls: Urls
  /** The processes that are there now, each as its name and process id. */
  readonly pids: Effect.Effect<ReadonlyArray<string>>
  /** What the next requests of an operation meet: see `Faults.ts` for the words. */
  readonly plan: (service: Name, operation: string, plan: string) => Effect.Effect<void, unknown>
  /** From now on it behaves. */
  readonly clear: (service: Name) => Effect.Effect<void, unknown>
  /** What all of them have done for an order, in the order in which it was done. */
  readonly deeds: (orderId: string) => Effect.Effect<ReadonlyArray<Deed>, unknown>
}>()("@effect-payments/examples/Services") {}

const program = new URL("main.ts", import.meta.url)
const pause = "50 millis"

/** Answers when it listens. It ends with the scope. */
const supervise = Effect.fnUntraced(function*(name: Name, folder: string) {
  const first = yield* Deferred.make<number, Child.ChildError>()
  const pid = yield* Ref.make(0)
  const once = Effect.fnUntraced(function*(port: number) {
    const task: typeof Task.Type = { name, port, filename: join(folder, `${name}.sqlite`) }
    const child = yield* Child.start(program, [JSON.stringify(task)])
    yield* Ref.set(pid, child.pid)
    yield* Deferred.succeed(first, child.port)
    yield* child.gone
  }, Effect.scoped)
  const again = Effect.flatMap(Deferred.await(first), (port) => Effect.delay(Effect.ignore(once(port)), pause))
  yield* Effect.forkScoped(
    Effect.andThen(Effect.catch(once(0), (error) => Deferred.fail(first, error)), Effect.forever(again))
  )
  return { name, pid, url: `http://127.0.0.1:${yield* Deferred.await(first)}` }
})

const names: ReadonlyArray<Name> = ["inventory", "shipping", "accounting", "receipts"]

/** `folder` is where they keep their databases. */
export const start = Effect.fnUntraced(function*(folder: string) {
  const running = yield* Effect.all(names.map((name) => supervise(name, folder)), { concurrency: "unbounded" })
  const [inventory, shipping, accounting, receipts] = running.map(({ url }) => url)
  const urls = { inventory, shipping, accounting, receipts } as Urls
  const admins = {
    inventory: (yield* client(Api.Inventory, urls.inventory)).admin,
    shipping: (yield* client(Api.Shipping, urls.shipping)).admin,
    accounting: (yield* client(Api.Accounting, urls.accounting)).admin,
    receipts: (yield* client(Api.Receipts, urls.receipts)).admin
  }
  return Services.of({
    urls,
    pids: Effect.all(running.map(({ name, pid }) => Effect.map(Ref.get(pid), (pid) => `${name} ${pid}`))),
    plan: (service, operation, plan) => admins[service].plan({ payload: { operation, plan } }),
    clear: (service) => admins[service].clear({}),
    deeds: Effect.fnUntraced(function*(orderId) {
      const deeds = yield* Effect.forEach(
        names,
        (service) =>
          Effect.map(
            admins[service].journal({ query: { order: orderId } }),
            (entries) => entries.map((entry): Deed => ({ ...entry, service }))
          )
      )
      return deeds.flat().sort((a, b) => a.at - b.at)
    })
  })
})

export const layer = (folder: string) =>
  Layer.effect(Services, start(folder)).pipe(Layer.provide(FetchHttpClient.layer))
