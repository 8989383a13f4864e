// @effect-diagnostics multipleEffectProvide:off globalErrorInEffectFailure:off
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Console,
  Context,
  Effect,
  ErrorReporter,
  Exit,
  Layer,
  Logger,
  Option,
  References,
  Runtime,
  Schema,
  Tracer
} from "effect"
import { Redaction } from "effect-payments"
import { inspect } from "node:util"

const pan = "4111111111111111"

/** Keeps what a program prints. */
const recorder = () => {
  const lines: Array<string> = []
  const write = (...values: ReadonlyArray<unknown>) => {
    lines.push(values.map((value) => typeof value === "string" ? value : inspect(value, { depth: 20 })).join(" "))
  }
  const methods = [
    "assert",
    "clear",
    "count",
    "countReset",
    "debug",
    "dir",
    "dirxml",
    "error",
    "group",
    "groupCollapsed",
    "groupEnd",
    "info",
    "log",
    "table",
    "time",
    "timeEnd",
    "timeLog",
    "trace",
    "warn"
  ]
  const console = Object.fromEntries(methods.map((method) => [method, write])) as unknown as Console.Console
  return { lines, console }
}

class Declined extends Schema.TaggedError<Declined>()("Declined", { card: Schema.String }) {
  override get message(): string {
    return `declined ${this.card}`
  }
}

const withStack = (): Error => {
  const error = new Error("broken")
  error.stack = `Error: broken\n    at charge(${pan})`
  return error
}

/** Every way known to bring a card number into a log. */
const leaks: { readonly [name: string]: Effect.Effect<unknown, unknown> } = {
  "a message": Effect.logInfo(`card ${pan}`),
  "a message in parts": Effect.logInfo("card", pan, { nested: [pan] }),
  "an object": Effect.logInfo({ card: { number: pan } }),
  "a number": Effect.logInfo({ card: Number(pan) }, Number(pan), BigInt(pan)),
  "a map and a set": Effect.logInfo(new Map([[pan, pan]]), new Set([pan])),
  "base64": Effect.logInfo(`Basic ${btoa(`user:${pan}`)}`),
  "an error as the message": Effect.logInfo(new Error(pan)),
  "an annotation": Effect.annotateLogs(Effect.logInfo("x"), { card: pan, nested: { card: pan } }),
  "the key of an annotation": Effect.annotateLogs(Effect.logInfo("x"), { [pan]: 1 }),
  "the label of a log span": Effect.withLogSpan(Effect.logInfo("x"), `charge ${pan}`),
  "the message of an error": Effect.logError("x", Cause.fail(new Error(pan))),
  "the fields of an error": Effect.logError("x", Cause.fail(Object.assign(new Error("x"), { card: pan }))),
  "an error whose message is made of fields": Effect.logError("x", Cause.fail(new Declined({ card: pan }))),
  "the stack of an error": Effect.logError("x", Cause.die(withStack())),
  "the cause of an error": Effect.logError("x", Cause.fail(new Error("x", { cause: new Error(pan) }))),
  "the cause of the cause": Effect.logError(
    Cause.die(new Error("x", { cause: new Error("y", { cause: new Declined({ card: pan }) }) }))
  ),
  "the name of an error": Effect.logError(Cause.fail(Object.assign(new Error("x"), { name: pan }))),
  "an aggregate of errors": Effect.logError(Cause.die(new AggregateError([new Error(pan)], "all"))),
  "a failure that is a text": Effect.logError(Cause.fail(`card ${pan}`)),
  "a failure that is an object": Effect.logError(Cause.fail({ card: pan, message: pan })),
  "an exit": Effect.logInfo(Exit.fail(new Declined({ card: pan }))),
  "the name of a traced span": Effect.flatMap(
    Effect.exit(Effect.withSpan(Effect.fail(new Error("x")), `charge ${pan}`)),
    (exit) => Exit.isFailure(exit) ? Effect.logError(exit.cause) : Effect.void
  ),
  "a failure of a span": Effect.exit(Effect.withSpan(Effect.fail(new Declined({ card: pan })), "charge")),
  "an attribute of a span": Effect.withSpan(Effect.logInfo("x"), "charge", { attributes: { card: pan, [pan]: 1 } }),
  "an attribute set later": Effect.withSpan(Effect.annotateCurrentSpan("card", { number: pan }), "charge"),
  "a log in a span": Effect.withSpan(Effect.logInfo(`card ${pan}`), "charge"),
  "an event of a span": Effect.withSpan(
    Effect.flatMap(Effect.currentSpan, (span) => Effect.sync(() => span.event(`card ${pan}`, 0n, { card: pan }))),
    "charge"
  ),
  "the console": Console.log(`card ${pan}`, { card: pan }, new Error(pan)),
  "other methods of the console": Effect.all([
    Console.error(pan),
    Console.warn(pan),
    Console.info(pan),
    Console.debug(pan),
    Console.trace(pan),
    Console.dir({ pan }),
    Console.dirxml(pan),
    Console.table([{ pan }]),
    Console.count(pan),
    Console.countReset(pan),
    Console.timeLog(pan, pan),
    Console.assert(false, pan),
    Effect.scoped(Console.group({ label: pan })),
    Effect.scoped(Console.group({ label: pan, collapsed: true })),
    Effect.scoped(Console.time(pan))
  ]),
  "a report": ErrorReporter.report(Cause.fail(new Declined({ card: pan }))),
  "a report with attributes": ErrorReporter.report(
    Cause.die(Object.assign(new Error("x"), { [ErrorReporter.attributes]: { card: pan } }))
  )
}

/** Shows all that a logger gets to see. */
const everything = Logger.make<unknown, string>(({ cause, fiber, message }) =>
  inspect([
    message,
    cause.reasons.map((reason) =>
      reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : reason
    ),
    Cause.pretty(cause),
    fiber.getRef(References.CurrentLogAnnotations),
    fiber.getRef(References.CurrentLogSpans)
  ], { depth: 20 })
)

const loggers: { readonly [name: string]: Logger.Logger<unknown, unknown> } = {
  "logfmt": Logger.withConsoleLog(Logger.formatLogFmt),
  "simple": Logger.withConsoleError(Logger.formatSimple),
  "json": Logger.withConsoleLog(Logger.formatJson),
  "structured": Logger.withLeveledConsole(Logger.formatStructured),
  "pretty": Logger.consolePretty({ colors: true, mode: "tty" }),
  "browser": Logger.consolePrettyBrowser(),
  "default": Logger.defaultLogger,
  "inspecting": Logger.withConsoleLog(everything)
}

/** A tracer that writes whatever it is told, as an exporter does. */
const tracerTo = (lines: Array<string>): Tracer.Tracer => ({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    const { end } = span
    span.end = (time, exit) => {
      end.call(span, time, exit)
      lines.push(inspect([span.name, span.attributes, span.events, span.links, span.status], { depth: 20 }))
    }
    return span
  }
})

const reporterTo = (lines: Array<string>): ErrorReporter.ErrorReporter =>
  ErrorReporter.make(({ attributes, cause, error }) => {
    lines.push(inspect([error, error.stack, attributes, Cause.pretty(cause)], { depth: 20 }))
  })

/** What comes out of a program, by each of its ways out. */
const output = (
  program: Effect.Effect<unknown, unknown>,
  logger: Logger.Logger<unknown, unknown>,
  isGuarded: boolean
): Effect.Effect<string> =>
  Effect.suspend(() => {
    const { console, lines } = recorder()
    const options = {
      loggers: [logger, Logger.tracerLogger],
      tracer: tracerTo(lines),
      reporters: [reporterTo(lines)]
    }
    const bare = Layer.mergeAll(
      Logger.layer(options.loggers),
      ErrorReporter.layer(options.reporters),
      Layer.succeed(Tracer.Tracer, options.tracer)
    )
    return Effect.exit(program).pipe(
      Effect.provide(isGuarded ? Redaction.layer(options) : bare),
      Effect.provideService(Console.Console, console),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.map(() => lines.join("\n"))
    )
  })

const showsPan = (text: string): boolean =>
  text.includes(pan) || text.replace(/\D/g, "").includes(pan) ||
  (text.match(/[A-Za-z0-9+/]{16,}/g) ?? []).some((run) => atob(run.slice(0, run.length - run.length % 4)).includes(pan))

describe("layer", () => {
  for (const [format, logger] of Object.entries(loggers)) {
    it.effect(`lets no card number out by the ${format} logger, the tracer, reporters or the console`, () =>
      Effect.gen(function*() {
        for (const [name, leak] of Object.entries(leaks)) {
          const guarded = yield* output(leak, logger, true)
          assert.isFalse(showsPan(guarded), `${name}:\n${guarded}`)
          assert.notStrictEqual(guarded, "", name)
        }
      }))
  }

  it.effect("stands before ways out that leak without it", () =>
    Effect.gen(function*() {
      for (const [name, leak] of Object.entries(leaks)) {
        assert.isTrue(showsPan(yield* output(leak, Logger.withConsoleLog(everything), false)), name)
      }
    }))

  it.effect("leaves what is clean as it is", () =>
    Effect.gen(function*() {
      const program = Effect.logInfo("paid", { cents: 500, at: 1_760_000_000_123 }).pipe(
        Effect.annotateLogs({ order: "20261124" }),
        Effect.withLogSpan("charge"),
        Effect.withSpan("charge", { attributes: { order: "20261124", cents: 500 } })
      )
      const mask = (text: string) => text.replace(/#\d+|"\d{4}-[^"]*"|spanId: .*|traceId: .*|\d+n/g, "_")
      const json = Logger.withConsoleLog(Logger.formatJson)
      assert.strictEqual(mask(yield* output(program, json, true)), mask(yield* output(program, json, false)))
    }))

  it.effect("keeps level, fiber, time, tags and stack frames for whoever reads the log", () =>
    Effect.gen(function*() {
      const program = Effect.withSpan(Effect.fail(new Declined({ card: pan })), "charge").pipe(
        Effect.tapCause((cause) => Effect.logError("failed", cause))
      )
      const text = yield* output(program, Logger.withConsoleLog(Logger.formatLogFmt), true)
      assert.match(text, /level=ERROR fiber=#\d+ message=failed cause="Declined: declined \[PAN \*\*\*\*1111\]/)
      assert.include(text, "at charge (")
    }))

  it.effect("hands on what loggers, tracers and reporters of effects fail with and need", () =>
    Effect.gen(function*() {
      class Sink extends Context.Service<Sink, { readonly lines: Array<string> }>()("test/Sink") {}
      const lines: Array<string> = []
      const logger = Effect.map(Sink, (sink) =>
        Logger.make(({ message }) => {
          sink.lines.push(inspect(message))
        }))
      const layer: Layer.Layer<never, never, Sink> = Redaction.layer({ loggers: [logger] })
      yield* Effect.logInfo(pan).pipe(Effect.provide(layer), Effect.provideService(Sink, { lines }))
      assert.deepStrictEqual(lines, ["[ '[PAN ****1111]' ]"])
      const failing: Layer.Layer<never, "no file"> = Redaction.layer({ loggers: [Effect.fail("no file" as const)] })
      assert.strictEqual(yield* Effect.flip(Effect.provide(Effect.void, failing)), "no file")
    }))

  it.effect("wraps what is there when nothing is given", () =>
    Effect.gen(function*() {
      const { console, lines } = recorder()
      const spans: Array<string> = []
      yield* Effect.withSpan(Effect.logInfo(pan), pan).pipe(
        Effect.provide(
          Redaction.layer().pipe(
            Layer.provide(Layer.mergeAll(
              Logger.layer([Logger.withConsoleLog(Logger.formatLogFmt)]),
              Layer.succeed(Tracer.Tracer, tracerTo(spans))
            ))
          )
        ),
        Effect.provideService(Console.Console, console)
      )
      assert.lengthOf(lines, 1)
      assert.lengthOf(spans, 1)
      assert.isFalse(showsPan([...lines, ...spans].join()))
    }))

  it.effect("reports an error once, however often it comes", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const cause = Cause.fail(new Declined({ card: pan }))
      yield* ErrorReporter.report(cause).pipe(
        Effect.andThen(ErrorReporter.report(cause)),
        Effect.andThen(ErrorReporter.report(Cause.fail(new Declined({ card: pan })))),
        Effect.provide(Redaction.layer({ reporters: [reporterTo(lines)] }))
      )
      assert.lengthOf(lines, 2)
    }))

  it.effect("keeps from reporters what is to be ignored, and how severe an error is", () =>
    Effect.gen(function*() {
      const severities: Array<string> = []
      const reporter = ErrorReporter.make(({ severity }) => {
        severities.push(severity)
      })
      class Quiet extends Error {
        override readonly [ErrorReporter.ignore] = true
      }
      class Grave extends Error {
        override get [ErrorReporter.severity]() {
          return "Fatal" as const
        }
      }
      yield* Effect.forEach([new Quiet("x"), new Grave("x")], (error) => ErrorReporter.report(Cause.fail(error))).pipe(
        Effect.provide(Redaction.layer({ reporters: [reporter] }))
      )
      assert.deepStrictEqual(severities, ["Fatal"])
    }))

  it.effect("survives errors that cannot be read", () =>
    Effect.gen(function*() {
      const hostile = Object.defineProperties(new Error("x"), {
        message: {
          get: () => {
            throw new Error("no")
          }
        },
        stack: {
          get: () => {
            throw new Error("no")
          }
        },
        field: {
          enumerable: true,
          get: () => {
            throw new Error("no")
          }
        }
      })
      const circular = new Error("x")
      circular.cause = circular
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      const lines = yield* Effect.forEach([hostile, circular, proxy], (value) =>
        output(Effect.logError("here", Cause.die(value)), Logger.withConsoleLog(Logger.formatJson), true))
      for (const line of lines) {
        assert.include(line, "here")
      }
    }))

  it.effect("traces parents, links and samples as the tracer does", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const tracer: Tracer.Tracer = {
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      }
      yield* Effect.gen(function*() {
        const outer = yield* Effect.currentSpan
        yield* Effect.withSpan(Effect.linkSpans(Effect.withSpan(Effect.void, "inner"), outer, { card: pan }), "middle")
        assert.strictEqual(outer.spanId, spans[0]?.spanId)
        assert.strictEqual(outer.traceId, spans[0]?.traceId)
        assert.deepStrictEqual([outer.parent, outer.kind, outer.sampled], [Option.none(), "internal", true])
      }).pipe(Effect.withSpan("outer"), Effect.provide(Redaction.layer({ tracer })))
      const [outer, middle, inner] = spans
      assert.strictEqual(Option.getOrUndefined(middle!.parent), outer)
      assert.strictEqual(inner!.links[0]?.span, outer)
      assert.deepStrictEqual(inner!.links[0]?.attributes, { card: "[PAN ****1111]" })
      assert.deepStrictEqual(outer!.status._tag === "Ended" && outer!.status.exit, Exit.void)
    }))
})

describe("unguarded", () => {
  const tags = Effect.map(Redaction.unguarded, (exits) => exits.map(({ _tag }) => _tag))

  it.effect("names every way out without the layer, and none behind it", () =>
    Effect.gen(function*() {
      const reporters = ErrorReporter.layer([ErrorReporter.make(() => undefined)])
      assert.deepStrictEqual(
        yield* tags.pipe(Effect.provide(reporters), Effect.provide(Logger.layer([Logger.formatJson]))),
        [
          "Logger",
          "Reporter",
          "Tracer",
          "Console"
        ]
      )
      assert.deepStrictEqual(yield* Effect.provide(tags, Redaction.layer()), [])
    }))

  it.effect("names what is provided nearer, unless it is wrapped", () =>
    Effect.gen(function*() {
      const inside = (layer: Layer.Layer<never>) => tags.pipe(Effect.provide(layer), Effect.provide(Redaction.layer()))
      const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
      const reporter = ErrorReporter.make(() => undefined)
      assert.deepStrictEqual(yield* inside(Logger.layer([Logger.formatJson])), ["Logger"])
      assert.deepStrictEqual(yield* inside(Logger.layer([Redaction.logger(Logger.formatJson)])), [])
      assert.deepStrictEqual(yield* inside(Layer.succeed(Tracer.Tracer, tracer)), ["Tracer"])
      assert.deepStrictEqual(yield* inside(Layer.succeed(Tracer.Tracer, Redaction.tracer(tracer))), [])
      assert.deepStrictEqual(yield* inside(ErrorReporter.layer([reporter])), ["Reporter"])
      assert.deepStrictEqual(yield* inside(ErrorReporter.layer([Redaction.reporter(reporter)])), [])
    }))

  it("wraps nothing twice", () => {
    const logger = Redaction.logger(Logger.formatJson)
    assert.strictEqual(Redaction.logger(logger), logger)
  })
})

describe("runMain", () => {
  const run = (program: Effect.Effect<unknown, unknown>, log: (line: string) => void) =>
    Effect.callback<Exit.Exit<unknown, unknown>>((resume) => {
      const platform = Runtime.makeRunMain(({ fiber, teardown }) =>
        fiber.addObserver((exit) => teardown(exit, (code) => resume(Effect.succeed(Exit.succeed(code)))))
      )
      const collect = Logger.map(Logger.formatLogFmt, log)
      Redaction.runMain(program, platform, { loggers: [collect] })
    })

  it.live("scrubs the last report", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const exit = yield* run(Effect.fail(new Declined({ card: pan })), (line) => lines.push(line))
      assert.deepStrictEqual(exit, Exit.succeed(1))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "declined [PAN ****1111]")
    }))

  it.live("covers the program, leaves exit codes to the platform, and reports no interruption", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const log = (line: string) => lines.push(line)
      const coded = Object.assign(new Error("x"), { [Runtime.errorExitCode]: 7 })
      assert.deepStrictEqual(yield* run(Effect.logInfo(pan), log), Exit.succeed(0))
      assert.deepStrictEqual(yield* run(Effect.fail(coded), log), Exit.succeed(7))
      assert.deepStrictEqual(yield* run(Effect.interrupt, log), Exit.succeed(130))
      assert.lengthOf(lines, 2)
      assert.isFalse(showsPan(lines.join()))
    }))

  it.live("is silent about what says that it was reported", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const reported = Object.assign(new Error(pan), { [Runtime.errorReported]: false })
      yield* run(Effect.fail(reported), (line) => lines.push(line))
      assert.deepStrictEqual(lines, [])
    }))
})
