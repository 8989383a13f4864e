/**
 * Runs an operation of several phases: the whole is an idempotent operation, and each phase is one inside it, whose record
 * is its recovery point. Who runs it again gets the answers of the phases that are done, and goes on with the next one.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Idempotency from "../../Idempotency.ts"
import { StoreUnavailable } from "../../IdempotencyStore.ts"
import { dispositionOf, type HasDisposition } from "../../PaymentError.ts"
import { InvalidOption } from "../../Resilience.ts"
import { recordId } from "../idempotency/record.ts"
import { codecOf } from "../stack/canonical.ts"
import { type AnyContext, type AnyPhase, faultOf, type Untyped } from "./definition.ts"
import { JournalUnavailable } from "./errors.ts"
import type { Journal } from "./journal.ts"

type AnyCodec = Schema.Codec<unknown, unknown>
type Body = Effect.Effect<unknown, HasDisposition, unknown>

/** @internal */
export interface Compiled {
  readonly definition: Untyped
  readonly names: ReadonlyArray<string>
  /** What all phases have answered, by name. */
  readonly success: AnyCodec
}

const compiled = new WeakMap<object, Compiled>()

/** @internal Dies with `InvalidOption` of what the types do not rule out. */
export const compile = (definition: Untyped): Effect.Effect<Compiled> =>
  Effect.suspend(() => {
    const known = compiled.get(definition)
    if (known !== undefined) return Effect.succeed(known)
    const fault = faultOf(definition) ?? unstored(definition)
    if (fault !== undefined) return Effect.die(invalid(fault))
    const made: Compiled = {
      definition,
      names: definition.phases.map(({ name }) => name),
      success: Schema.Struct(
        Object.fromEntries(definition.phases.map(({ name, success }) => [name, success]))
      ) as unknown as AnyCodec
    }
    compiled.set(definition, made)
    return Effect.succeed(made)
  })

const unstored = ({ payload }: Untyped) => {
  const fault = codecOf(payload).unstorable
  return fault === undefined ? undefined : { option: "payload", expected: `a schema that can be stored: ${fault}` }
}

const invalid = (fault: { readonly option: string; readonly expected: string }) =>
  new InvalidOption({ stage: "Phases", ...fault })

/** @internal Whose operation it is. */
export interface Whose {
  readonly tenant: string
  readonly key: Idempotency.Key
}

/** @internal What became of an operation that somebody else had begun, and that is finished here. */
export const gone = "gone" as const

/** @internal Goes on with an operation in this life, if it is not over; otherwise begins it. */
export const run = (
  journal: Journal,
  { definition, names, success }: Compiled,
  payload: unknown,
  { key, tenant }: Whose,
  resumed?: number
): Effect.Effect<unknown, unknown, unknown> => {
  const { operation, policy, version } = definition
  const scope = Idempotency.Scope.make({ tenant, operation, version })
  const { id } = recordId(scope, key)
  // The life in which this call has found the operation.
  let life = resumed
  const open = Effect.suspend(() => {
    const stored = codecOf(definition.payload).store(payload, policy.payloadLimitBytes ?? payloadLimitBytes)
    if (Result.isFailure(stored)) {
      return Effect.die(invalid({ option: "payload", expected: `one that can be stored: ${stored.failure}` }))
    }
    return Effect.flatMap(
      journal.open({ id, tenant, operation, version, key, payload: stored.success }, names),
      (opened) => {
        life = opened.life
        return opened.phases.join("/") === names.join("/") ? Effect.succeed(opened.life) : Effect.die(changed)
      }
    )
  })
  const resume = (life: number) =>
    Effect.flatMap(
      journal.keep(id, life),
      (isOpen) =>
        isOpen ? Effect.succeed(life) : Effect.fail(new JournalUnavailable({ operation: "keep", detail: gone }))
    )
  const body = Effect.flatMap(
    resumed === undefined ? open : resume(resumed),
    (life) => runPhases(journal, definition, payload, { key, tenant, id, life })
  ) as Body
  return body.pipe(
    Idempotency.idempotent({
      ...policy,
      scope,
      key,
      payload,
      payloadSchema: definition.payload,
      success,
      error: definition.error as Schema.Codec<HasDisposition, unknown>,
      // Each phase knows what became of it: the whole may always be gone through again.
      resolve: () => again
    }),
    Effect.mapError((error) =>
      error instanceof JournalUnavailable
        ? new Idempotency.IdempotencyError({
          // As at a claim: what an earlier call with the key has done the journal cannot say.
          reason: new StoreUnavailable({ operation: "claim", detail: `journal: ${error.operation}, ${error.detail}` })
        })
        : error
    ),
    Effect.onExit((exit) => life !== undefined && isOver(exit) ? finish(journal, id, life) : Effect.void)
  )
}

const payloadLimitBytes = 262_144

const again = Effect.succeed({ _tag: "NeverHappened", repeatable: true } as const)

const changed = invalid({
  option: "version",
  expected: "a new version when phases change: this operation has begun with others"
})

// An answer for good. A key that conflicts says nothing about the operation that has it.
const isOver = (exit: { readonly _tag: string; readonly cause?: unknown }): boolean => {
  if (exit._tag === "Success") return true
  const { reasons = [] } = exit.cause as {
    readonly reasons?: ReadonlyArray<{ readonly _tag: string; readonly error?: unknown }>
  }
  const [reason] = reasons
  return reasons.length === 1 && reason?._tag === "Fail" &&
    !(reason.error instanceof Idempotency.IdempotencyError) && dispositionOf(reason.error) === "Refused"
}

// When it is not noted here, whoever looks for what is abandoned gets the answer and notes it.
const finish = (journal: Journal, id: string, life: number): Effect.Effect<void> =>
  Effect.ignore(journal.finish(id, life))

interface At extends Whose {
  readonly id: string
  readonly life: number
}

const runPhases = (journal: Journal, definition: Untyped, payload: unknown, at: At): Body =>
  Effect.gen(function*() {
    const results: Record<string, unknown> = {}
    for (const [index, phase] of definition.phases.entries()) {
      const ctx: AnyContext = { ...results, payload }
      const answered = runPhase(definition, phase, ctx, payload, at)
      results[phase.name] = yield* index === 0 ? orForgotten(journal, at, answered) : answered
    }
    return results
  })

const runPhase = (definition: Untyped, phase: AnyPhase, ctx: AnyContext, payload: unknown, at: At): Body => {
  const { policy } = definition
  const options = {
    scope: phaseScope(definition, at, phase.name),
    key: at.key,
    payload,
    payloadSchema: definition.payload,
    success: phase.success,
    error: definition.error as Schema.Codec<HasDisposition, unknown>,
    // Kept until the operation is over and its phases are dropped together.
    ttl: "3650 days",
    // Of an owner that is gone, the claim of the phase may outlast that of the operation.
    duplicates: "await",
    awaitAtMost: "1 day",
    ...policy.lease === undefined ? {} : { lease: policy.lease },
    ...policy.attemptsMax === undefined ? {} : { attemptsMax: policy.attemptsMax },
    ...policy.payloadLimitBytes === undefined ? {} : { payloadLimitBytes: policy.payloadLimitBytes },
    ...policy.resultLimitBytes === undefined ? {} : { resultLimitBytes: policy.resultLimitBytes }
  } as const
  const self = Effect.suspend(() => phase.run(ctx)) as Body
  const { phase: sentAs, resolve, resolveTimeout, settle } = phase
  const answered = phase.kind === "atomic"
    ? Idempotency.idempotent(self as Effect.Effect<unknown, HasDisposition>, { ...options, transactional: true })
    : Idempotency.idempotent(self, { ...options, phase: sentAs, resolve, resolveTimeout, settle })
  // A misuse of the phase's own is no answer of the operation.
  return Effect.catchIf(
    answered,
    (error) => error instanceof Idempotency.IdempotencyError && error.disposition === "Refused",
    Effect.die
  ) as Body
}

/** @internal Of one phase in one life. */
export const phaseScope = (
  { operation, version }: { readonly operation: string; readonly version: number },
  { life, tenant }: { readonly life: number; readonly tenant: string },
  phase: string
): Idempotency.Scope =>
  Idempotency.Scope.make({
    tenant,
    operation: life === 1 ? `${operation} / ${phase}` : `${operation} / ${phase} / ${life}`,
    version
  })

// Nothing of it has happened, and the caller is told so: then nobody may finish it later.
const orForgotten = (journal: Journal, { id, life }: At, self: Body): Body =>
  Effect.catchIf(
    self,
    (error) => dispositionOf(error) === "NotExecuted",
    (error) =>
      Effect.matchEffect(journal.forget(id, life, false), {
        onSuccess: () => Effect.fail(error),
        // It may still be finished by others.
        onFailure: ({ detail }) =>
          Effect.fail(
            new Idempotency.IdempotencyError({
              reason: new StoreUnavailable({ operation: "claim", detail: `journal: forget, ${detail}` })
            })
          )
      })
  )
