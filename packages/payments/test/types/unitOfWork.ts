import { Effect } from "effect"
import { PaymentGateway, UnitOfWork } from "effect-payments"

declare const request: PaymentGateway.AuthorizeRequest
const authorize = Effect.flatMap(PaymentGateway.PaymentGateway, (gateway) => gateway.authorize(request))

// @refuse a gateway call inside a unit of work would hold the transaction open while it waits: use a saga
UnitOfWork.atomic(authorize)

// @refuse a gateway call inside a unit of work would hold the transaction open while it waits: use a saga
authorize.pipe(UnitOfWork.atomic)

// @refuse what runs after the commit is no part of the unit of work: write before it, or in one of its own
UnitOfWork.afterCommit(Effect.asVoid(UnitOfWork.UnitOfWork))

// @refuse Type 'UnitOfWork' is not assignable to type 'never'
Effect.runSync(UnitOfWork.inside(Effect.void))

// @refuse Type 'string' is not assignable to type 'never'
UnitOfWork.afterCommit(Effect.fail("no"))
