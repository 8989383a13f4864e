/** Sagas with one of each kind of step, over a shop whose answers are planned. */
import { Effect, Schedule, Schema } from "effect"
import { PaymentGateway, Saga } from "effect-payments"
import { Refusal, Shop, ShopError } from "../saga/checkout.ts"

const call = (name: string) => Effect.flatMap(Shop, (shop) => shop.call(name))
const rerun = { success: Schema.String, error: ShopError, verify: "rerun" } as const
const undo = (name: string) => (outcome: Saga.Outcome<string>) =>
  call(`undo ${name} ${outcome._tag === "Done" ? outcome.result : "in doubt"}`)
const plain = (name: string) => ({ ...rerun, run: () => Effect.as(call(name), name), compensate: undo(name) }) as const

/** Answers whatever the plan of the shop says of it. */
const looked = (name: string) => () =>
  Effect.flatMap(Shop, ({ call, happened }) =>
    Effect.andThen(
      Effect.orDie(call(`look ${name}`)),
      Effect.map(
        happened(name, ""),
        (isThere) => isThere ? PaymentGateway.happened(name) : PaymentGateway.neverHappened
      )
    ))

/** Every step is looked up. */
export const watched = Saga.make("watched", { payload: Schema.String }).pipe(
  Saga.step("a", { ...plain("a"), verify: looked("a"), timeout: "2 minutes" }),
  Saga.step("b", { ...plain("b"), verify: looked("b"), timeout: "2 minutes" }),
  Saga.pivot("p", { ...rerun, run: () => Effect.as(call("p"), "p"), verify: looked("p"), timeout: "2 minutes" }),
  Saga.retriable("r", {
    success: Schema.String,
    verify: "rerun",
    run: () => Effect.as(call("r"), "r").pipe(Saga.park("r is refused"))
  })
)

/** Nobody can tell what became of its second step. */
export const blind = (inDoubt: "compensate" | "park") =>
  Saga.make(`blind ${inDoubt}`, { payload: Schema.String }).pipe(
    Saga.step("a", plain("a")),
    Saga.step("b", { ...plain("b"), verify: () => Effect.succeed(PaymentGateway.stillUnknown), inDoubt }),
    Saga.pivot("p", { ...rerun, run: () => Effect.as(call("p"), "p") })
  )

/** Of its undos one takes long, one has many tries. */
export const undoing = Saga.make("undoing", { payload: Schema.String }).pipe(
  Saga.step("a", plain("a")),
  Saga.step("b", { ...plain("b"), undoSchedule: Schedule.upTo(Schedule.spaced("10 minutes"), { times: 4 }) }),
  Saga.step("c", { ...plain("c"), closes: ["a"] as const }),
  Saga.step("d", { ...plain("d"), compensate: () => Effect.succeed(Saga.skip("nothing to do")) }),
  Saga.pivot("p", { ...rerun, run: () => Effect.as(call("p"), "p") })
)

export const grouped = Saga.make("grouped", { payload: Schema.String }).pipe(
  Saga.step("first", plain("first")),
  Saga.parallel({
    a: Saga.branch({ ...plain("a") }),
    b: Saga.branch({ ...plain("b"), verify: looked("b") }),
    c: Saga.branch({ ...plain("c"), schedule: Schedule.upTo(Schedule.spaced("5 minutes"), { times: 3 }) })
  }),
  Saga.pivot("p", { ...rerun, run: ({ a, b, c }) => Effect.as(call(`p ${a}${b}${c}`), "p") }),
  Saga.parallel({
    mail: Saga.retriableBranch({
      success: Schema.String,
      verify: "rerun",
      run: () => Effect.as(call("mail"), "mail").pipe(Saga.park("no"))
    }),
    post: Saga.retriableBranch({
      success: Schema.String,
      verify: "rerun",
      run: () => Effect.as(call("post"), "post").pipe(Saga.park("no"))
    })
  })
)

export const challenge = Saga.makeSignal("challenge", Schema.Struct({ passed: Schema.Boolean }))
export const hook = Saga.makeSignal("hook", Schema.String)

export const patient = Saga.make("patient", { payload: Schema.String }).pipe(
  Saga.step("a", plain("a")),
  Saga.awaitSignal(challenge),
  Saga.pivot("p", { ...rerun, run: (ctx) => Effect.as(call(`p ${ctx.challenge.passed}`), "p") }),
  Saga.awaitSignal(hook, { deadline: "2 hours" }),
  Saga.sleep("cool down", "10 minutes"),
  Saga.retriable("r", {
    success: Schema.String,
    verify: "rerun",
    run: (ctx) => Effect.as(call("r"), ctx.hook._tag === "Arrived" ? ctx.hook.value : "late").pipe(Saga.park("no"))
  })
)

export const strict = Saga.make("strict", { payload: Schema.String }).pipe(
  Saga.step("a", plain("a")),
  Saga.awaitSignal(challenge, {
    deadline: "15 minutes",
    error: Refusal,
    onDeadline: (ctx) => new Refusal({ why: `${ctx.a} waited` })
  }),
  Saga.pivot("p", { ...rerun, run: () => Effect.as(call("p"), "p") })
)

const parcel = Saga.make("parcel", { payload: Schema.Struct({ sku: Schema.String }) }).pipe(
  Saga.step("pick", {
    ...rerun,
    run: ({ payload }) => Effect.as(call("pick"), payload.sku),
    compensate: () => call("unpick")
  }),
  Saga.pivot("send", { ...rerun, run: () => Effect.as(call("send"), "sent"), compensate: () => call("recall") })
)

/** One of its steps is a saga. */
export const nesting = Saga.make("nesting", { payload: Schema.String }).pipe(
  Saga.step("hold", { ...rerun, run: () => Effect.as(call("hold"), "h"), compensate: () => call("unhold") }),
  Saga.nested("parcel", { saga: parcel, payload: (ctx) => ({ sku: `${ctx.payload} ${ctx.hold}` }) }),
  Saga.pivot("close", {
    ...rerun,
    run: (ctx) => Effect.as(call("close"), `${ctx.parcel.results.pick} ${ctx.parcel.results.send}`)
  })
)
