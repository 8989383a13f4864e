/**
 * Charge a card, once. The stack to copy.
 *
 * A charge that is only a call fails in ways that cost money: a blip loses the sale, a retry after a timeout charges
 * twice, a gateway that is down takes the shop down with it, and a dispute finds no trail. Each line below takes one of
 * these away. Read them from the call outwards; `demo.ts` runs them against a gateway that misbehaves.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Context, Duration, Effect, Layer } from "effect"
import {
  AuditLog,
  Idempotency,
  IdempotencyStore,
  Observe,
  PaymentError,
  PaymentGateway,
  Resilience
} from "effect-payments"
import { FetchHttpClient } from "effect/http"
import type { SqlClient } from "effect/sql"
import * as SimGateway from "./SimGateway.ts"

/**
 * Charges the card of the request, at most once per key. Every later call with the key gets the first answer, an approval
 * or a decline, from this process or any other that shares the store.
 *
 * The order is the point, and the compiler checks it. `idempotent` is outermost: a duplicate gets the first answer and
 * skips everything inside, so it uses up no quota, trips no circuit and reaches no gateway. It is also what makes the
 * `retry` inside it safe: each attempt carries the same key to the gateway. Move `retry` outside and the program does not
 * compile.
 */
export const chargeCustomer = Effect.fnUntraced(
  function*(request: PaymentGateway.AuthorizeRequest, key: Idempotency.Key) {
    const gateway = yield* PaymentGateway.PaymentGateway
    const { attempt, lease } = yield* Patience
    return yield* gateway.authorize(request).pipe(
      // An audit entry for each attempt, without card data: a dispute can be reconstructed.
      Observe.logExecution({ name: "charge", args: request, result: ({ id, status }) => ({ id, status }) }),
      // Its duration by outcome: declines do not look like an outage.
      Observe.timer("charge_duration"),
      // An attempt that hangs ends. Nobody knows whether it happened, and what is outside treats it like that.
      Resilience.timeout(attempt),
      // Each attempt counts towards the gateway's quota, so this stands inside `retry`. Replays do not.
      Resilience.rateLimit({ key: "gateway", limit: 100, window: "1 minute" }),
      // Only what may be sent again is: never a decline.
      Resilience.retry({ attempts: 3, base: "500 millis", factor: 2 }),
      // A gateway that is down is left alone for a while. A charge counts once here, however often it was tried.
      Resilience.circuitBreaker({ name: "gateway", failures: 5, openFor: "30 seconds" }),
      // One charge per key, in the store before the request leaves. An end that nobody knows is looked up.
      Idempotency.idempotent({
        scope,
        key,
        payload: request,
        payloadSchema: PaymentGateway.AuthorizeRequest,
        success: PaymentGateway.Transaction,
        error: PaymentError.PaymentError,
        resolve: Idempotency.resolveByLookup({ phases: ["authorize"] }),
        duplicates: "await",
        lease,
        ttl: "24 hours"
      }),
      // Names the whole, opens its span, and has the compiler check that nothing stands outside.
      Idempotency.operation("charge")
    )
  }
)

/** Whose keys they are. A shop has one per tenant and operation; raise the version when the payload changes shape. */
export const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })

/**
 * How long one attempt may take, and for how long a process that charges may be silent before another takes over. The
 * demo is less patient than a shop.
 */
export const Patience = Context.Reference("@effect-payments/examples/Patience", {
  defaultValue: () => ({ attempt: Duration.seconds(5), lease: Duration.seconds(30) })
})

/**
 * What the stack needs: a gateway, a store that outlives the process, circuits and quotas, an audit log. Swap one line
 * to swap the part: another adapter, circuits shared over Redis.
 *
 * `database` is `SqliteClient.layer({ filename })` of `@effect-payments/sqlite`, or Postgres by `@effect/sql-pg`.
 */
export const layer = <E>(options: {
  readonly gatewayUrl: string | URL
  readonly database: Layer.Layer<SqlClient.SqlClient, E>
}) => {
  const gateway = SimGateway.layer({ baseUrl: options.gatewayUrl }).pipe(Layer.provide(FetchHttpClient.layer))
  const store = IdempotencyStore.layerStoreSql().pipe(Layer.provide(options.database))
  const idempotency = Idempotency.layer().pipe(Layer.provide([store, NodeCrypto.layer]))
  return Layer.mergeAll(gateway, idempotency, Resilience.layerMemory, AuditLog.layerLog)
}
