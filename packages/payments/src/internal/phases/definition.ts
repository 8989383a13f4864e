/**
 * What an operation of several phases is made of, as data, and what the type checker knows about it.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Schema from "effect/Schema"
import type * as Idempotency from "../../Idempotency.ts"
import type { HasDisposition } from "../../PaymentError.ts"
import type { GatewayCallMustBeInsideIdempotent } from "../stack/claim.ts"

const TypeId = "~effect-payments/Phases"

/**
 * An operation of several parts, in order, as data. `Ctx` is the payload and what its phases answer, by name; `E` the
 * failures that they declare, `R` the services they need.
 *
 * @category models
 * @since 0.1.0
 */
export interface Phases<in out Ctx, out E, out R> extends Pipeable {
  readonly [TypeId]: {
    readonly _Ctx: (_: Ctx) => Ctx
    readonly _E: (_: never) => E
    readonly _R: (_: never) => R
  }
  readonly operation: string
  readonly version: number
}

/**
 * Any operation of several phases.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any {
  readonly [TypeId]: unknown
  readonly operation: string
  readonly version: number
}

/** @internal How the engine runs the operation and each phase: see `Idempotency.Options`. */
export type Policy = Partial<
  Pick<
    Idempotency.Options<never, unknown, unknown>,
    | "attemptsMax"
    | "awaitAtMost"
    | "duplicates"
    | "lease"
    | "onInterrupt"
    | "payloadLimitBytes"
    | "resultLimitBytes"
    | "ttl"
  >
>

/** @internal */
export type AnyContext = Readonly<Record<string, unknown>>

/** @internal How a call is looked up and when it is believed not to have happened: see `Idempotency.Options`. */
export type LookUp<A, E, R> = Partial<
  Pick<Idempotency.Options<never, A, E, R>, "phase" | "resolve" | "resolveTimeout" | "settle">
>

/** @internal A phase without its types. */
export interface AnyPhase extends LookUp<unknown, HasDisposition, unknown> {
  readonly name: string
  readonly kind: "atomic" | "call"
  readonly success: Schema.Codec<unknown, unknown>
  readonly run: (ctx: AnyContext) => Effect.Effect<unknown, unknown, unknown>
}

/** @internal */
export interface Untyped extends Any {
  readonly payload: Schema.Codec<unknown, unknown>
  readonly error: Schema.Codec<unknown, unknown>
  readonly policy: Policy
  readonly phases: ReadonlyArray<AnyPhase>
}

/** @internal */
export const makeUntyped = (
  definition: Pick<Untyped, "error" | "operation" | "payload" | "phases" | "policy" | "version">
): Untyped & Pipeable => ({
  [TypeId]: TypeId,
  ...definition,
  pipe() {
    return pipeArguments(this, arguments)
  }
})

/** @internal The types are those of the signatures in `Phases.ts`; here they are gone. */
export const add = (self: unknown, kind: AnyPhase["kind"], name: string, options: unknown): never => {
  const { error, operation, payload, phases, policy, version } = self as Untyped
  const phase = { ...options as AnyPhase, kind, name }
  return makeUntyped({ error, operation, payload, policy, version, phases: [...phases, phase] }) as never
}

const phasesMax = 50
const isName = Schema.is(
  Schema.String.check(Schema.isPattern(/^[A-Za-z0-9](?:[A-Za-z0-9 _.-]{0,78}[A-Za-z0-9_.-])?$/))
)

/** @internal What types do not rule out. */
export const faultOf = (
  { operation, phases }: Untyped
): { readonly option: string; readonly expected: string } | undefined => {
  const expected = "1 to 80 of letters, digits, space, _, . and -, a letter or digit first"
  if (!isName(operation)) return { option: "operation", expected }
  if (phases.length === 0 || phases.length > phasesMax) {
    return { option: "phases", expected: `1 to ${phasesMax} phases: pipe atomic or call after make` }
  }
  const names = phases.map(({ name }) => name)
  if (!names.every((name) => isName(name) && name !== "payload")) {
    return { option: "name", expected: `${expected}, and not "payload"` }
  }
  return new Set(names).size < names.length
    ? { option: "name", expected: "a name of its own for each phase" }
    : undefined
}

// --- checked by the compiler

/** @internal */
export type Extend<Ctx, Name extends string, A> = {
  readonly [K in keyof Ctx | Name]: K extends keyof Ctx ? Ctx[K] : A
}

/** @internal */
export type Fresh<Name extends string, Ctx> = Name extends keyof Ctx ? {
    readonly [K in `this operation already has a phase named ${Name}: give the phase a name of its own`]: never
  }
  : unknown

/** @internal */
export type Declared<E, E0> = [E] extends [E0] ? unknown
  : { readonly "a phase fails with what the operation does not declare: add it to the error schema of make": never }

/** @internal */
export type NoGatewayCall<R> = GatewayCallMustBeInsideIdempotent extends R ? {
    readonly "a gateway call inside an atomic phase would keep the transaction open while it waits: make it a call":
      never
  }
  : unknown
