import { Effect, Schema } from "effect"
import { PaymentError, Saga } from "effect-payments"
import { describe, expectTypeOf, it } from "vitest"

const error = PaymentError.PaymentError

describe("Saga", () => {
  it("gives the last of eight steps every earlier result with its type, and no step says what it gets", () => {
    Saga.make("order", { payload: Schema.Struct({ orderId: Schema.String }) }).pipe(
      Saga.step("reserve", {
        success: Schema.Struct({ reservation: Schema.String }),
        error,
        verify: "rerun",
        run: ({ payload }) => Effect.succeed({ reservation: payload.orderId }),
        compensate: (outcome) => outcome._tag === "Done" ? Effect.log(outcome.result.reservation) : Effect.void
      }),
      Saga.step("weigh", {
        success: Schema.Finite,
        error,
        verify: "rerun",
        run: ({ reserve }) => Effect.succeed(reserve.reservation.length),
        compensate: () => Effect.void
      }),
      Saga.step("insure", {
        success: Schema.Boolean,
        error,
        verify: "rerun",
        run: ({ weigh }) => Effect.succeed(weigh > 1),
        compensate: () => Effect.void
      }),
      Saga.step("authorize", {
        success: Schema.Struct({ id: Schema.String, isInsured: Schema.Boolean }),
        error,
        verify: "rerun",
        run: ({ insure, payload }) => Effect.succeed({ id: payload.orderId, isInsured: insure }),
        compensate: () => Effect.void
      }),
      Saga.step("capture", {
        success: Schema.Array(Schema.String),
        error,
        verify: "rerun",
        run: ({ authorize }) => Effect.succeed([authorize.id]),
        compensate: () => Effect.void
      }),
      Saga.step("book", {
        success: Schema.Literal("booked"),
        error,
        verify: "rerun",
        run: () => Effect.succeed("booked" as const),
        compensate: () => Effect.void
      }),
      Saga.pivot("ship", {
        success: Schema.Struct({ parcel: Schema.String }),
        error,
        verify: "rerun",
        run: ({ capture }) => Effect.succeed({ parcel: capture.join() })
      }),
      Saga.retriable("receipt", {
        success: Schema.Void,
        verify: "rerun",
        run: (ctx) => {
          expectTypeOf(ctx.payload).toEqualTypeOf<{ readonly orderId: string }>()
          expectTypeOf(ctx.reserve).toEqualTypeOf<{ readonly reservation: string }>()
          expectTypeOf(ctx.weigh).toEqualTypeOf<number>()
          expectTypeOf(ctx.insure).toEqualTypeOf<boolean>()
          expectTypeOf(ctx.authorize).toEqualTypeOf<{ readonly id: string; readonly isInsured: boolean }>()
          expectTypeOf(ctx.capture).toEqualTypeOf<ReadonlyArray<string>>()
          expectTypeOf(ctx.book).toEqualTypeOf<"booked">()
          expectTypeOf(ctx.ship).toEqualTypeOf<{ readonly parcel: string }>()
          // @ts-expect-error its own result is not there
          void ctx.receipt
          return Effect.void
        }
      })
    )
  })
})
