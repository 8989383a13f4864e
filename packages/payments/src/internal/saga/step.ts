/**
 * What a saga is made of: steps as data, and what the type checker knows about their order.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { HasDisposition } from "../../PaymentError.ts"
import type { Lookup } from "../../PaymentGateway.ts"
import type { Claim } from "../stack/claim.ts"
import type { Marker } from "../stack/markers.ts"
import type { Kind } from "./decide.ts"

/**
 * What an undo is told about the step.
 *
 * - `Done`: it happened, with this result.
 * - `InDoubt`: it may have happened. `downstreamKey` answers the key that a phase of the step was sent under (the
 *   gateway method by default), to look for at the gateway.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome<A> =
  | { readonly _tag: "Done"; readonly result: A }
  | InDoubt

/**
 * A step that may have happened, or may still.
 *
 * @category models
 * @since 0.1.0
 */
export interface InDoubt extends Doubt {
  readonly _tag: "InDoubt"
  readonly downstreamKey: (phase: string) => Effect.Effect<string>
}

/**
 * What a verification found out.
 *
 * - `Happened`, `Refused`: the step's answer, yes or no.
 * - `NeverHappened`: it did not happen and will not any more.
 * - `NotSeen`: the other side has not seen it yet. It may still arrive, and may be sent again under the same key.
 * - `StillUnknown`: nobody can tell.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict<A, E> = Lookup<A, E> | { readonly _tag: "NotSeen" }

/**
 * What is known of a step of which nobody knows whether it happened.
 *
 * @category models
 * @since 0.1.0
 */
export interface Doubt {
  /** What left the doubt: a kind of failure, never a message. */
  readonly cause: string
  /** How long ago, on the log's clock, the step was intended: the earliest that a request can have left. */
  readonly age: Duration.Duration
  /** How long ago a request can have left at the latest. */
  readonly silence: Duration.Duration
}

/**
 * Finds out whether a step that may have happened did. `"rerun"` says that nobody needs to know: the step may be run
 * again under the same key and then answers as the first time.
 *
 * @category models
 * @since 0.1.0
 */
export type Verify<Ctx, A, E, R> = "rerun" | ((ctx: Ctx, doubt: Doubt) => Effect.Effect<Verdict<A, E>, unknown, R>)

/** @internal */
export interface Run<Ctx, A, E, R, RV> {
  /** What the step answers with, and how that is stored. */
  readonly success: Schema.Codec<A, unknown>
  /** Runs the step. `ctx` holds the payload and what earlier steps answered, by name. */
  readonly run: (ctx: Ctx) => Effect.Effect<A, E, R>
  readonly verify: Verify<NoInfer<Ctx>, NoInfer<A>, NoInfer<E>, RV>
  /** When to try again what surely did not happen. The number of tries is bounded by 100 whatever it says. */
  readonly schedule?: Schedule.Schedule<unknown> | undefined
  /** After it a run counts as in doubt. */
  readonly timeout?: Duration.Input | undefined
  /** After it a verification counts as `StillUnknown`. */
  readonly verifyTimeout?: Duration.Input | undefined
}

/** @internal */
export interface Fails<E> {
  /** How a final failure is stored. */
  readonly error: Schema.Codec<E, unknown>
  /**
   * What becomes of the saga at a final failure: undone (unless set), or parked, for someone to decide. A function says it by
   * the error; it parks when it throws, and is not asked where there is no error, when a step that surely never happened
   * has no try left. Resumed, the step begins anew.
   */
  readonly onFailure?: "compensate" | "park" | ((error: NoInfer<E>) => "compensate" | "park") | undefined
}

/** @internal */
export interface Compensates<Ctx, A, RC> {
  /**
   * Undoes the step. It may run again, under the same key, after a failure or a crash. Answer {@link skip} where there is
   * nothing to undo.
   */
  readonly compensate: (outcome: Outcome<NoInfer<A>>, ctx: Ctx) => Effect.Effect<unknown, unknown, RC>
  /** When to try an undo again that failed; 3 tries, 2 and 4 seconds apart, unless set. */
  readonly undoSchedule?: Schedule.Schedule<unknown> | undefined
  /** After it a try of the undo counts as failed. */
  readonly undoTimeout?: Duration.Input | undefined
  /** What becomes of the saga when nobody can tell whether the step happened: undone like one that did, or parked. */
  readonly inDoubt?: "compensate" | "park" | undefined
  /** Earlier steps that this one closes once it is done: their own undo is skipped, since this one's covers it. */
  readonly closes?: ReadonlyArray<NoInfer<Exclude<keyof Ctx, "payload">>> | undefined
}

/** @internal The pivot's undo, for a saga that someone wants undone after it has completed. */
export interface MayCompensate<Ctx, A, RC> {
  readonly compensate?: ((outcome: Outcome<NoInfer<A>>, ctx: Ctx) => Effect.Effect<unknown, unknown, RC>) | undefined
  readonly undoSchedule?: Schedule.Schedule<unknown> | undefined
  readonly undoTimeout?: Duration.Input | undefined
}

/** @internal */
export type AnyContext = Readonly<Record<string, unknown>>

/** @internal A step without its types. */
export interface AnyStep {
  readonly name: string
  readonly kind: Kind
  readonly success: Schema.Codec<unknown, unknown>
  readonly error: Schema.Codec<unknown, unknown> | undefined
  readonly run: (ctx: AnyContext) => Effect.Effect<unknown, unknown, unknown>
  readonly verify: Verify<AnyContext, unknown, unknown, unknown>
  readonly schedule: Schedule.Schedule<unknown> | undefined
  readonly timeout: Duration.Input | undefined
  readonly verifyTimeout: Duration.Input | undefined
  readonly compensate: (outcome: Outcome<unknown>, ctx: AnyContext) => Effect.Effect<unknown, unknown, unknown>
  readonly undoSchedule: Schedule.Schedule<unknown> | undefined
  readonly undoTimeout: Duration.Input | undefined
  readonly onFailure?: "compensate" | "park" | ((error: unknown) => "compensate" | "park") | undefined
  readonly inDoubt: "compensate" | "park" | undefined
  readonly closes: ReadonlyArray<string> | undefined
  readonly wait?: Wait | undefined
  readonly group?: number | undefined
  /** Of a group, all or none. */
  readonly interruptSiblings?: boolean | undefined
}

/** @internal */
const BranchTypeId = "~effect-payments/Saga/Branch"
declare const BranchType: unique symbol

/**
 * One step of a parallel group.
 *
 * @category models
 * @since 0.1.0
 */
export interface Branch<in Ctx, out A, out E, out R, out K extends "compensatable" | "retriable">
  extends BranchOf<Ctx>
{
  readonly [BranchType]: {
    readonly _A: (_: never) => A
    readonly _E: (_: never) => E
    readonly _R: (_: never) => R
    readonly _K: (_: never) => K
  }
}

/** @internal What a group asks of its branches: it would be taken for what they answer if it said more. */
export interface BranchOf<in Ctx> {
  readonly [BranchTypeId]: { readonly _Ctx: (_: Ctx) => void }
}

/** @internal */
export const makeBranch = (kind: Kind, options: unknown): never =>
  ({ [BranchTypeId]: BranchTypeId, kind, options }) as never

interface AnyBranch {
  readonly kind: Kind
  readonly options: unknown
}

/** @internal */
export const addGroup = (
  self: unknown,
  branches: Readonly<Record<string, unknown>>,
  interruptSiblings = false
): never => {
  const saga = self as Untyped
  const group = saga.steps.reduce((max, { group }) => Math.max(max, group ?? 0), 0) + 1
  const steps = Object.entries(branches).map(([name, branch]) => {
    const { kind, options } = branch as AnyBranch
    return { ...options as AnyStep, kind, name, group, interruptSiblings }
  })
  return makeUntyped(saga.name, saga.payload, [...saga.steps, ...steps]) as never
}

/**
 * A message from outside that a run waits for, as a value that sender and saga share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Signal<in out Name extends string, in out A> {
  readonly name: Name
  readonly schema: Schema.Codec<A, unknown>
}

/**
 * What became of a wait that has a deadline.
 *
 * @category models
 * @since 0.1.0
 */
export type Arrival<A> =
  | { readonly _tag: "Arrived"; readonly value: A }
  | { readonly _tag: "DeadlinePassed" }

/** @internal What a step waits for. */
export interface Wait {
  /** A message, as its schema says; undefined where time alone ends the wait. */
  readonly message: Schema.Codec<unknown, unknown> | undefined
  /** For how long; undefined is for ever. */
  readonly deadline: Duration.Input | undefined
  /** The answer is an `Arrival`. */
  readonly isArrival: boolean
  /** What the step fails with when the deadline has passed. */
  readonly onDeadline: ((ctx: AnyContext) => unknown) | undefined
}

/** @internal What is wrong with the options that a verification was made with. */
export const invalid: unique symbol = Symbol.for("effect-payments/Saga/invalid")

/** @internal */
const TypeId = "~effect-payments/Saga"

/** @internal Which kinds may still follow. */
export type Phase = "compensatable" | "retriable"

/**
 * A saga: named steps in order, as data. `Ctx` is what its steps see and answer, `E` the final failures that they
 * declare, `R` the services they need, `P` which kinds of steps may still follow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Saga<in out Ctx, out E, out R, out P extends Phase = Phase> extends Pipeable {
  readonly [TypeId]: {
    readonly _Ctx: (_: Ctx) => Ctx
    readonly _E: (_: never) => E
    readonly _R: (_: never) => R
    readonly _P: (_: never) => P
  }
  readonly name: string
}

/**
 * Any saga.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any {
  readonly [TypeId]: unknown
  readonly name: string
}

/** @internal The services of a saga whose types are gone are not known. */
export type Known<S> = [S extends Saga<infer _Ctx, infer _E, infer _R, infer _P> ? never : S] extends [never] ? unknown
  : { readonly "the services of these sagas are not known: list them with their types": never }

/** @internal */
export interface Untyped extends Any {
  readonly payload: Schema.Codec<unknown, unknown>
  readonly steps: ReadonlyArray<AnyStep>
}

/** @internal */
export const makeUntyped = (
  name: string,
  payload: Schema.Codec<unknown, unknown>,
  steps: ReadonlyArray<AnyStep>
): Untyped & Pipeable => ({
  [TypeId]: TypeId,
  name,
  payload,
  steps,
  pipe() {
    return pipeArguments(this, arguments)
  }
})

/** @internal The types are those of the signatures in `Saga.ts`; here they are gone. */
export const add = (self: unknown, kind: Kind, name: string, options: unknown): never => {
  const saga = self as Untyped
  const step = { ...options as AnyStep, kind, name }
  return makeUntyped(saga.name, saga.payload, [...saga.steps, step]) as never
}

const never = Effect.die(new Error("a step that waits does not run"))

const addWait = (
  self: unknown,
  name: string,
  { error, success, wait }: {
    readonly error?: AnyStep["error"]
    readonly success: AnyStep["success"]
    readonly wait: Wait
  }
): never => add(self, "wait", name, { success, error, run: () => never, verify: "rerun", wait })

/** @internal */
export const addSignal = (
  self: unknown,
  { name, schema }: Signal<string, unknown>,
  options: {
    readonly deadline: Duration.Input
    readonly error?: Schema.Codec<unknown, unknown>
    readonly onDeadline?: (ctx: never) => unknown
  } | undefined
): never => {
  const { deadline, error, onDeadline } = options ?? {}
  const isArrival = deadline !== undefined && onDeadline === undefined
  const success = isArrival
    ? Schema.Union([Schema.TaggedStruct("Arrived", { value: schema }), Schema.TaggedStruct("DeadlinePassed", {})])
    : schema
  return addWait(self, name, {
    success: success as AnyStep["success"],
    ...error === undefined ? {} : { error },
    wait: { message: schema, deadline, isArrival, onDeadline: onDeadline as Wait["onDeadline"] }
  })
}

/** @internal */
export const addSleep = (self: unknown, name: string, deadline: Duration.Input): never =>
  addWait(self, name, {
    success: Schema.Void as unknown as AnyStep["success"],
    wait: { message: undefined, deadline, isArrival: false, onDeadline: undefined }
  })

/** @internal All that a run answers with, by name. */
export const resultsOf = ({ payload, steps }: Untyped): Schema.Codec<unknown, unknown> => {
  const fields = steps.map(({ name, success }) => [name, success] as const)
  return Schema.Struct(Object.fromEntries([["payload", payload] as const, ...fields])) as never
}

/** @internal What is wrong with a saga as a step of another one: nothing, when its pivot can be undone. */
export const undoableOf = ({ name, steps }: Untyped): { readonly [invalid]?: string } =>
  steps.some(({ compensate, kind }) => kind === "pivot" && (compensate as unknown) === undefined)
    ? { [invalid]: `the pivot of "${name}" has no compensate, without which it cannot be nested` }
    : {}

// --- the order of steps, checked by the compiler

/** @internal What a step gets from the saga. */
export type Provided = Claim | Marker

/** @internal */
export type Extend<Ctx, Name extends string, A> = {
  readonly [K in keyof Ctx | Name]: K extends keyof Ctx ? Ctx[K] : A
}

/** @internal */
export type ExtendAll<Ctx, B> = {
  readonly [K in keyof Ctx | keyof B]: K extends keyof Ctx ? Ctx[K]
    : K extends keyof B ? B[K] extends Branch<never, infer A, infer _E, infer _R, infer _K> ? A : never
    : never
}

/** @internal */
export type BranchError<B> = {
  readonly [K in keyof B]: B[K] extends Branch<never, infer _A, infer E, infer _R, infer _K> ? E : never
}[keyof B]

/** @internal */
export type BranchServices<B> = {
  readonly [K in keyof B]: B[K] extends Branch<never, infer _A, infer _E, infer R, infer _K> ? R : never
}[keyof B]

type BranchKind<B> = {
  readonly [K in keyof B]: B[K] extends Branch<never, infer _A, infer _E, infer _R, infer K2> ? K2 : never
}[keyof B]

/** @internal */
export type InPlace<B, P> = [BranchKind<B>] extends ["compensatable"] ? [P] extends ["compensatable"] ? unknown
  : { readonly "a compensatable branch cannot follow the pivot: make it a retriableBranch": never }
  : [BranchKind<B>] extends ["retriable"] ? [P] extends ["retriable"] ? NoFinalError<BranchError<B>>
    : { readonly "a retriable branch must follow the pivot: put the pivot before it": never }
  : { readonly "the branches of a group are all compensatable or all retriable": never }

/** @internal */
export type FreshAll<B, Ctx> = string extends keyof B ? { readonly "a step is known by one name: write it out": never }
  : [keyof B & keyof Ctx] extends [never] ? unknown
  : {
    readonly [
      K in `this saga already has a step named ${keyof B & keyof Ctx & string}: give the step a name of its own`
    ]: never
  }

/** @internal */
export type Fresh<Name extends string, Ctx> = IsOneName<Name> extends false
  ? { readonly "a step is known by one name: write it out": never }
  : Name extends keyof Ctx ? {
      readonly [K in `this saga already has a step named ${Name}: give the step a name of its own`]: never
    }
  : unknown

// Of anything but a literal a record needs no member.
type IsOneName<Name extends string> = Record<never, never> extends { readonly [K in Name]: unknown } ? false
  : IsOne<Name, Name>

type IsOne<T, All> = T extends unknown ? [All] extends [T] ? true : false : never

/** @internal */
export type BeforePivot<P> = [P] extends ["compensatable"] ? unknown
  : { readonly "a compensatable step cannot follow the pivot: make it retriable": never }

/** @internal */
export type FailsBeforePivot<P> = [P] extends ["compensatable"] ? unknown
  : {
    readonly "behind the pivot a deadline may not fail the saga: leave out onDeadline and branch on the arrival": never
  }

/** @internal */
export type OnePivot<P> = [P] extends ["compensatable"] ? unknown
  : { readonly "a saga has one pivot: make this step retriable": never }

/** @internal */
export type AfterPivot<P> = [P] extends ["retriable"] ? unknown
  : { readonly "a retriable step must follow the pivot: put the pivot before it": never }

/** @internal */
export type NoFinalError<E> = [E] extends [never] ? unknown
  : [E] extends [HasDisposition & { readonly disposition: "NotExecuted" | "Unknown" }] ? unknown
  : {
    readonly "a retriable step may not fail for good: handle what is Refused, or pipe the step through Saga.park": never
  }
