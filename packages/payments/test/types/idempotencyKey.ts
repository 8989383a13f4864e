import { Context, Effect, Layer } from "effect"
import { type Idempotency, PaymentGateway, Resilience } from "effect-payments"
import { IdempotencyKey } from "effect-payments/http"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware } from "effect/http-api"

declare const request: PaymentGateway.AuthorizeRequest
declare const services: Layer.Layer<Idempotency.Idempotency | PaymentGateway.PaymentGateway>

const charge = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request)).pipe(
  Resilience.retry({ attempts: 3 }),
  Effect.orDie
)

const run = <A>(layer: Layer.Layer<A>) => layer

// Plain routes.
const route = HttpRouter.add("POST", "/charges", Effect.as(charge, HttpServerResponse.empty()))
const keys = IdempotencyKey.middleware({ tenant: "acme" })
run(
  route.pipe(
    Layer.provide(keys.layer),
    HttpRouter.provideRequest(services),
    Layer.provide([services, HttpRouter.layer])
  )
)
// @refuse Type 'Request<"Requires", GatewayCallMustBeInsideIdempotent>' is not assignable to type 'never'
run(route.pipe(HttpRouter.provideRequest(services), Layer.provide([services, HttpRouter.layer])))

// An HttpApi.
class Keyed extends IdempotencyKey.Service<Keyed>()("test/Keyed") {}
const create = HttpApiEndpoint.post("create", "/charges")
const Api = HttpApi.make("keyed").add(HttpApiGroup.make("charges").add(create.middleware(Keyed)))
const Open = HttpApi.make("open").add(HttpApiGroup.make("charges").add(create))
const implementation = IdempotencyKey.layer(Keyed, { tenant: "acme" })
const api = HttpApiBuilder.group(Api, "charges", (handlers) => handlers.handle("create", () => Effect.asVoid(charge)))
const open = HttpApiBuilder.group(Open, "charges", (handlers) => handlers.handle("create", () => Effect.asVoid(charge)))
run(api.pipe(HttpRouter.provideRequest(services), Layer.provide(implementation), Layer.provide(services)))
// @refuse Type 'Request<"Requires", GatewayCallMustBeInsideIdempotent>' is not assignable to type 'never'
run(open.pipe(HttpRouter.provideRequest(services), Layer.provide(services)))

// Whose keys they are has to be known by then.
class Merchant extends Context.Service<Merchant, { readonly id: string }>()("test/Merchant") {}
const tenant = Effect.map(Merchant, ({ id }) => id)
// @refuse Type 'Merchant' is not assignable to type 'Provided'
IdempotencyKey.layer(Keyed, { tenant })
class Owned extends IdempotencyKey.Service<Owned, { requires: Merchant }>()("test/Owned") {}
IdempotencyKey.layer(Owned, { tenant })
class Auth extends HttpApiMiddleware.Service<Auth, { provides: Merchant }>()("test/Auth") {}
void create.middleware(Owned).middleware(Auth)
