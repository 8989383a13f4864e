/**
 * What is provided to a program so that nothing leaves it unscrubbed.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { ErrorReporter } from "../effect/errorReporter.ts"
import * as exits from "./exits.ts"

type Given<A, E, R> = A | Effect.Effect<A, E, R>

/** @internal What is not given is what the program has at this place. */
export interface Options<E, R> {
  readonly loggers?: ReadonlyArray<Given<Logger.Logger<unknown, unknown>, E, R>> | undefined
  readonly tracer?: Given<Tracer.Tracer, E, R> | undefined
  readonly reporters?: ReadonlyArray<Given<ErrorReporter.ErrorReporter, E, R>> | undefined
}

const get = <A, E, R>(given: Given<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(given) ? given : Effect.succeed(given)

const getAll = <A, E, R>(
  given: ReadonlyArray<Given<A, E, R>> | undefined,
  current: Effect.Effect<ReadonlySet<A>>
): Effect.Effect<Iterable<A>, E, R> => given === undefined ? current : Effect.forEach(given, (one) => get(one))

const build = Effect.fnUntraced(function*<E, R>({ loggers, reporters, tracer }: Options<E, R>) {
  const allLoggers = yield* getAll(loggers, Effect.service(Logger.CurrentLoggers))
  const allReporters = yield* getAll(reporters, Effect.service(ErrorReporter.CurrentErrorReporters))
  return Context.empty().pipe(
    Context.add(Logger.CurrentLoggers, new Set(Array.from(allLoggers, exits.logger))),
    Context.add(ErrorReporter.CurrentErrorReporters, new Set(Array.from(allReporters, exits.reporter))),
    Context.add(Tracer.Tracer, exits.tracer(yield* get(tracer ?? Effect.service(Tracer.Tracer)))),
    Context.add(Console.Console, exits.console(yield* Effect.service(Console.Console)))
  )
})

/** @internal */
export const layer = <E, R>(options: Options<E, R>): Layer.Layer<never, E, Exclude<R, Scope.Scope>> =>
  Layer.effectContext(build(options))

/** @internal */
export type Unguarded =
  | { readonly _tag: "Logger"; readonly logger: Logger.Logger<unknown, unknown> }
  | { readonly _tag: "Tracer"; readonly tracer: Tracer.Tracer }
  | { readonly _tag: "Reporter"; readonly reporter: ErrorReporter.ErrorReporter }
  | { readonly _tag: "Console"; readonly console: Console.Console }

/** @internal */
export const unguarded: Effect.Effect<ReadonlyArray<Unguarded>> = Effect.withFiberSucceed((fiber) => {
  const all: ReadonlyArray<readonly [object, Unguarded]> = [
    ...Array.from(fiber.getRef(Logger.CurrentLoggers), (logger) => [logger, { _tag: "Logger", logger }] as const),
    ...Array.from(
      fiber.getRef(ErrorReporter.CurrentErrorReporters),
      (reporter) => [reporter, { _tag: "Reporter", reporter }] as const
    ),
    [fiber.getRef(Tracer.Tracer), { _tag: "Tracer", tracer: fiber.getRef(Tracer.Tracer) }],
    [fiber.getRef(Console.Console), { _tag: "Console", console: fiber.getRef(Console.Console) }]
  ]
  return all.flatMap(([exit, entry]) => exits.isGuarded(exit) ? [] : [entry])
})

/** @internal */
export const withLastReport = <A, E, R>(self: Effect.Effect<A, E, R>, options: Options<never, never>) =>
  self.pipe(Effect.tapCause(report), Effect.provide(layer(options)))

// As `Runtime.makeRunMain` reports, which does so outside of whatever the program provides to itself.
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause) || !Runtime.getErrorReported(Cause.squash(cause))
    ? Effect.void
    : Effect.logError(cause)
