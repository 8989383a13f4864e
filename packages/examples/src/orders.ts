/**
 * An event-driven service: the fourth stack to copy. It takes orders, and others hear of each that was taken.
 *
 * | part | here |
 * |---|---|
 * | validation | schemas of what comes in and goes out |
 * | repositories | services over SQL, whose writes ask for a unit of work around them |
 * | unit of work | `UnitOfWork.atomic`: order, stock and event are committed together, or not at all |
 * | events | an outbox in that commit, relayed to a bus: nobody hears of an order that was rolled back |
 * | dependency injection | layers: each is built once, in order, and closed in the reverse one |
 */
import { Context, Effect, Layer, Schema } from "effect"
import { EventBus, Money, Redaction, UnitOfWork } from "effect-payments"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Migrator, SqlClient, type SqlError } from "effect/sql"

// --- what comes in and goes out

const Id = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{1,64}$/, { expected: "letters, digits, _ and -" }))

export const OrderCreate = Schema.Struct({
  orderId: Id,
  userId: Id,
  productId: Id,
  quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
  total: Money.Money
})
export type OrderCreate = typeof OrderCreate.Type

export const OrderResponse = Schema.Struct({ orderId: Id, status: Schema.Literals(["created"]), total: Money.Money })

export const OrderCreated = Schema.TaggedStruct("OrderCreated", { orderId: Id, userId: Id })

export class OrderExists extends Schema.TaggedError<OrderExists>()("OrderExists", { orderId: Schema.String }) {}

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { productId: Schema.String }) {}

// --- repositories: `UnitOfWork` in a type says that it writes only inside of one

type Write<A, E> = Effect.Effect<A, E | SqlError.SqlError, UnitOfWork.UnitOfWork>

export class Orders extends Context.Service<Orders, {
  readonly create: (order: OrderCreate) => Write<void, OrderExists>
  readonly count: Effect.Effect<number, SqlError.SqlError>
}>()("@effect-payments/examples/Orders") {
  static readonly layer = Layer.effect(
    Orders,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      return Orders.of({
        create: ({ orderId, productId, quantity, userId }) =>
          Effect.gen(function*() {
            const taken = yield* sql`INSERT INTO orders (id, user_id, product_id, quantity)
              VALUES (${orderId}, ${userId}, ${productId}, ${quantity}) ON CONFLICT (id) DO NOTHING RETURNING id`
            if (taken.length === 0) return yield* new OrderExists({ orderId })
          }).pipe(UnitOfWork.inside),
        count: Effect.map(sql`SELECT id FROM orders`, ({ length }) => length)
      })
    })
  )
}

export class Inventory extends Context.Service<Inventory, {
  readonly reserve: (productId: string, quantity: number) => Write<void, OutOfStock>
  readonly restock: (productId: string, quantity: number) => Effect.Effect<void, SqlError.SqlError>
  readonly left: (productId: string) => Effect.Effect<number, SqlError.SqlError>
}>()("@effect-payments/examples/Inventory") {
  static readonly layer = Layer.effect(
    Inventory,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      return Inventory.of({
        reserve: (productId, quantity) =>
          Effect.gen(function*() {
            const reserved = yield* sql`UPDATE stock SET quantity = quantity - ${quantity}
              WHERE product_id = ${productId} AND quantity >= ${quantity} RETURNING product_id`
            if (reserved.length === 0) return yield* new OutOfStock({ productId })
          }).pipe(UnitOfWork.inside),
        restock: (productId, quantity) =>
          Effect.asVoid(sql`INSERT INTO stock (product_id, quantity) VALUES (${productId}, ${quantity})
            ON CONFLICT (product_id) DO UPDATE SET quantity = stock.quantity + excluded.quantity`),
        left: (productId) =>
          Effect.map(
            sql<{ readonly quantity: number }>`SELECT quantity FROM stock WHERE product_id = ${productId}`,
            ([row]) => row?.quantity ?? 0
          )
      })
    })
  )
}

// --- events

/** Who wants to hear of orders subscribes to it. */
export class OrderEvents extends Context.Service<OrderEvents, EventBus.EventBus<typeof OrderCreated.Type>>()(
  "@effect-payments/examples/OrderEvents"
) {
  static readonly layer = Layer.effect(OrderEvents, EventBus.make<typeof OrderCreated.Type>({ name: "orders" }))
}

const outbox = EventBus.makeOutbox({ name: "orders", event: OrderCreated })

/** Passes on what was committed, in this process or by another after a crash. */
export const layerRelay = Layer.effectDiscard(
  Effect.gen(function*() {
    const { relay } = yield* outbox
    const { deliver } = yield* OrderEvents
    yield* Effect.forkScoped(relay(deliver))
  })
)

// --- the service

const makeService = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const orders = yield* Orders
  const inventory = yield* Inventory
  const { publish } = yield* outbox
  return {
    /** Order, stock and event, or nothing. */
    createOrder: (input: unknown) =>
      Effect.gen(function*() {
        const order = yield* Schema.decodeUnknownEffect(OrderCreate)(input)
        yield* Effect.gen(function*() {
          yield* orders.create(order)
          yield* inventory.reserve(order.productId, order.quantity)
          // The id of the order: the event is taken in once.
          yield* publish({ _tag: "OrderCreated", orderId: order.orderId, userId: order.userId }, { id: order.orderId })
        }).pipe(UnitOfWork.atomic, Effect.provideService(SqlClient.SqlClient, sql))
        const { orderId, total } = order
        return yield* Schema.encodeEffect(OrderResponse)({ orderId, status: "created", total })
      })
  }
})

export class OrderService extends Context.Service<OrderService, Effect.Success<typeof makeService>>()(
  "@effect-payments/examples/OrderService"
) {
  static readonly layer = Layer.effect(OrderService, makeService)
}

/** `POST /orders`: 201 with the order, 400, 409, or 500 without a word on the cause. */
export const route = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const { createOrder } = yield* OrderService
    const answer = (status: number, body: unknown) => HttpServerResponse.jsonUnsafe(body, { status })
    yield* router.add("POST", "/orders", ({ json }) =>
      Effect.flatMap(json, createOrder).pipe(
        Effect.map((order) => answer(201, order)),
        Effect.catchTags({
          HttpServerError: () => Effect.succeed(answer(400, { error: "not_json" })),
          SchemaError: ({ message }) =>
            Effect.succeed(answer(400, { error: "invalid", detail: Redaction.scrub(message) })),
          OrderExists: ({ orderId }) => Effect.succeed(answer(409, { error: "order_exists", orderId })),
          OutOfStock: ({ productId }) => Effect.succeed(answer(409, { error: "out_of_stock", productId }))
        }),
        Effect.catchCause((cause) => Effect.as(Effect.logError(cause), answer(500, { error: "internal" })))
      ))
  })
)

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE orders
    (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, product_id TEXT NOT NULL, quantity INTEGER NOT NULL)`
  yield* sql`CREATE TABLE stock (product_id TEXT PRIMARY KEY, quantity INTEGER NOT NULL CHECK (quantity >= 0))`
})

export const layerTables = Layer.effectDiscard(
  Migrator.make({})({ loader: Migrator.fromRecord({ "0001_tables": tables }), table: "orders_migrations" })
)

/** All of it, over a database and a store of jobs in it. */
export const layer = OrderService.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Orders.layer, Inventory.layer, OrderEvents.layer)),
  Layer.provideMerge(layerTables)
)
