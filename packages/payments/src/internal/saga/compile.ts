/**
 * A saga made ready to run: options as plain values, codecs, and the definition that is kept with each run.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Digest } from "../effect/crypto.ts"
import { type Codec, codecOf } from "../stack/canonical.ts"
import { unstorable } from "../stack/storable.ts"
import { decide, fold, initial, type Kind, type Shape, statusOf, type StepShape } from "./decide.ts"
import { SagaError, SagaInvalid } from "./errors.ts"
import { type Event, Name, type State } from "./record.ts"
import { type AnyContext, type AnyStep, invalid, type Untyped } from "./step.ts"

/** @internal */
export interface CompiledStep extends StepShape {
  readonly step: AnyStep
  readonly success: Codec
  readonly error: Codec | undefined
  readonly schedule: Schedule.Schedule<unknown>
  readonly undoSchedule: Schedule.Schedule<unknown>
  readonly timeoutMillis: number
  readonly verifyMillis: number
  readonly undoMillis: number
  readonly wait: CompiledWait | undefined
}

/** @internal */
export interface CompiledWait {
  readonly message: Codec | undefined
  readonly millis: number
  readonly isArrival: boolean
  readonly onDeadline: ((ctx: AnyContext) => unknown) | undefined
}

/** @internal */
export interface Compiled {
  readonly saga: Untyped
  readonly name: string
  readonly payload: Codec
  readonly steps: ReadonlyArray<CompiledStep>
  readonly shape: Shape
  /** What is kept with each run: the payload's shape, then name, kind and shapes of each step in order. */
  readonly definition: string
  /** What a run of it begins with. */
  readonly opening: { readonly state: State; readonly events: ReadonlyArray<Event> }
}

/** @internal */
const stepsMax = 100

/** @internal Whatever a schedule says. */
export const triesMax = 100

// 2, 4, 6, 8, 10, 10 … seconds.
const linear = Schedule.modifyDelay(
  Schedule.forever,
  ({ attempt }) => Effect.succeed(Duration.seconds(Math.min(2 * attempt, 10)))
)

const threeTries = Schedule.upTo(linear, { times: 2 })

const tenTries = Schedule.upTo(
  Schedule.modifyDelay(
    Schedule.exponential("1 second"),
    ({ duration }) => Effect.succeed(Duration.min(duration, Duration.minutes(1)))
  ),
  { times: 9 }
)

/** @internal How often and how far apart a verification is asked. */
export const verifySchedule = threeTries

/** @internal A saga is data: what comes of it is kept for the next engine of the process. */
export const compile = (saga: Untyped, digest: Digest.Digest["Service"]): Effect.Effect<Compiled, SagaError> =>
  Effect.suspend(() => {
    const known = kept.get(saga)
    return known?.digest === digest
      ? Effect.succeed(known.compiled)
      : Effect.tap(compileNew(saga, digest), (compiled) => Effect.sync(() => kept.set(saga, { digest, compiled })))
  })

const kept = new WeakMap<Untyped, { readonly digest: Digest.Digest["Service"]; readonly compiled: Compiled }>()

const compileNew = Effect.fnUntraced(
  function*(saga: Untyped, digest: Digest.Digest["Service"]): Effect.fn.Return<Compiled, SagaError> {
    const fault = faultOf(saga)
    if (fault !== undefined) return yield* new SagaError({ reason: new SagaInvalid({ detail: fault }) })
    const steps = saga.steps.map(compileStep)
    const hash = (schema: Schema.Codec<unknown, unknown> | undefined) =>
      schema === undefined ? Effect.succeed("") : hashShape(digest, schema)
    const lines = [`payload|${yield* hash(saga.payload)}`]
    for (const { step } of steps) {
      const group = step.group === undefined ? "" : `+${step.group}`
      lines.push(`${step.name}|${step.kind}${group}|${yield* hash(step.success)}|${yield* hash(step.error)}`)
    }
    return {
      saga,
      name: saga.name,
      payload: codecOf(saga.payload),
      steps,
      shape: steps,
      definition: JSON.stringify(lines),
      opening: openingOf(steps)
    }
  }
)

const openingOf = (shape: Shape): Compiled["opening"] => {
  const state = initial(shape)
  const { events } = decide(shape, state, { _tag: "Begin", isFresh: true, cancel: false })
  return { state: statusOf(shape, fold(shape, state, events)), events }
}

const isName = Schema.is(Name)

// What types rule out is checked all the same: a saga may come from code without them.
const faultOf = ({ name, payload, steps }: Untyped): string | undefined => {
  const names = steps.map((step) => step.name)
  const expected = "1 to 255 printable ASCII characters, no space at either end"
  if (!isName(name)) return `its name must be ${expected}`
  if (steps.length === 0) return "it has no steps"
  if (steps.length > stepsMax) return `it has more than ${stepsMax} steps`
  const bad = names.find((name) => !isName(name) || name === "payload")
  if (bad !== undefined) return `a step's name must be ${expected}, and not "payload"`
  if (new Set(names).size < names.length) return "two steps have the same name"
  const pivot = steps.findIndex(({ kind }) => kind === "pivot")
  const isOrdered = steps.every(({ kind }, index) =>
    index === pivot || kind === "wait" ||
    (pivot === -1 || index < pivot ? kind === "compensatable" : kind === "retriable")
  )
  if (!isOrdered) return "its steps are not in order: compensatable, then one pivot, then retriable"
  const wrong =
    steps.flatMap((step) => [step, step.verify]).flatMap((options: unknown) =>
      invalid in Object(options) ? [String(Object(options)[invalid])] : []
    )[0]
  if (wrong !== undefined) return wrong
  const unstored =
    [payload, ...steps.flatMap(({ error, success, wait }) => [success, error, wait?.message])].flatMap((schema) =>
      schema === undefined ? [] : unstorable(schema) ?? []
    )[0]
  if (unstored !== undefined) return `a schema of it has no stored form: ${unstored}`
  const millis = steps.flatMap((step) => [step.timeout, step.verifyTimeout, step.undoTimeout, step.wait?.deadline])
  return millis.every((input) => input === undefined || millisOf(input, 1) !== undefined)
    ? undefined
    : "a timeout, a deadline and a sleep must be from 1 millisecond to a year"
}

const yearMillis = 366 * 24 * 60 * 60 * 1000

const millisOf = (input: Duration.Input | undefined, fallback: number): number | undefined => {
  if (input === undefined) return fallback
  const duration = Duration.fromInput(input)
  const millis = duration._tag === "None" ? 0 : Duration.toMillis(duration.value)
  return millis >= 1 && millis <= yearMillis ? millis : undefined
}

const compileStep = (step: AnyStep): CompiledStep => ({
  name: step.name,
  kind: step.kind,
  group: step.group,
  verify: step.verify === "rerun" ? "rerun" : "look",
  inDoubt: step.inDoubt ?? "compensate",
  onFailure: step.onFailure === "park" ? "park" : undefined,
  closes: step.closes ?? [],
  step,
  success: codecOf(step.success),
  error: step.error === undefined ? undefined : codecOf(step.error),
  schedule: step.schedule ?? (step.kind === "retriable" ? tenTries : threeTries),
  undoSchedule: step.undoSchedule ?? threeTries,
  timeoutMillis: millisOf(step.timeout, 300_000) ?? 300_000,
  verifyMillis: millisOf(step.verifyTimeout, 10_000) ?? 10_000,
  undoMillis: millisOf(step.undoTimeout, 60_000) ?? 60_000,
  wait: step.wait === undefined ? undefined : {
    message: step.wait.message === undefined ? undefined : codecOf(step.wait.message),
    millis: millisOf(step.wait.deadline, Number.POSITIVE_INFINITY) ?? Number.POSITIVE_INFINITY,
    isArrival: step.wait.isArrival,
    onDeadline: step.wait.onDeadline
  }
})

const encoder = new TextEncoder()

/** The shape of what is stored. A schema that has no JSON Schema is known by nothing but its place. */
const hashShape = (
  digest: Digest.Digest["Service"],
  schema: Schema.Codec<unknown, unknown>
): Effect.Effect<string> => {
  const document = documentOf(schema)
  return document === undefined
    ? Effect.succeed("opaque")
    : Effect.map(digest.digestHex(Digest.sha256, encoder.encode(document)), (hex) => hex.slice(0, 16))
}

/** @internal Undefined when it has none. */
export const documentOf = (schema: Schema.Codec<unknown, unknown>): string | undefined => {
  const document = Result.try(() =>
    JSON.stringify(Schema.toJsonSchemaDocument(Schema.toEncoded(Schema.toCodecJson(schema))), sorted)
  )
  return Result.isSuccess(document) ? document.success : undefined
}

const sorted = (_key: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

/**
 * @internal The steps that a run had, as far as they matter to tell how it has ended; undefined when that cannot be read.
 */
export const shapeOf = (definition: string): Shape | undefined => {
  const lines = decodeDefinition(definition)
  if (Result.isFailure(lines)) return undefined
  const steps = lines.success.slice(1).map((line) =>
    /^(.*)\|(compensatable|pivot|retriable|wait)(?:\+(\d+))?\|[^|]*\|[^|]*$/.exec(line)
  )
  return steps.every((step) => step !== null)
    ? steps.map((step) => ({
      name: step[1] ?? "",
      kind: step[2] as Kind,
      ...step[3] === undefined ? {} : { group: Number(step[3]) },
      verify: "look",
      inDoubt: "compensate",
      closes: []
    }))
    : undefined
}

const Definition = Schema.fromJsonString(Schema.Array(Schema.String))
const decodeDefinition = Schema.decodeUnknownResult(Definition)

/**
 * @internal Whether a run that was begun under `before` can go on under this definition: all that it has started is the
 * same. Otherwise the name of what differs.
 */
export const differenceOf = (
  compiled: Compiled,
  before: string,
  events: ReadonlyArray<Event>
): string | undefined => {
  if (before === compiled.definition) return undefined
  const [was, is] = [decodeDefinition(before), decodeDefinition(compiled.definition)]
  if (Result.isFailure(was) || Result.isFailure(is)) return "the definition"
  const started = new Set(events.flatMap((event) => event._tag === "Intended" ? [event.step] : [])).size
  // Of a group all have started at once.
  for (let index = 0; index <= started; index++) {
    if (was.success[index] !== is.success[index]) return was.success[index]?.split("|")[0] ?? "the definition"
  }
  return undefined
}
