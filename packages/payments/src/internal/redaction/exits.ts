/**
 * The ways out of a program, each behind the scrubber: loggers, the tracer, error reporters, the console.
 *
 * @internal
 */
import type { Console } from "effect/Console"
import * as Context from "effect/Context"
import type { Fiber } from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"
import type { ErrorReporter } from "../effect/errorReporter.ts"
import { scrubCause, scrubError, scrubExit } from "./cause.ts"
import { scrub as scrubText, scrubUpTo } from "./text.ts"
import { scrub as scrubValue } from "./value.ts"

const guarded = new WeakSet<object>()

/** @internal Whether what goes out here passes the scrubber. */
export const isGuarded = (exit: object): boolean => guarded.has(exit)

const guard = <A extends object>(exit: A): A => {
  guarded.add(exit)
  return exit
}

// Lines are longer than texts within values: a stack trace is one.
const textMax = 65_536

/** @internal A text stays a text, an error an error. */
const scrubAny = (value: unknown): unknown => {
  if (typeof value === "string") return scrubUpTo(value, textMax)
  return value instanceof Error ? scrubError(value) : scrubValue(value)
}

// --- loggers

/** @internal */
export const logger = <Message, Output>(self: Logger.Logger<Message, Output>): Logger.Logger<Message, Output> =>
  isGuarded(self) ? self : guard(Logger.make((options) =>
    self.log({
      ...options,
      message: scrubMessage(options.message) as Message,
      cause: scrubCause(options.cause),
      fiber: scrubFiber(options.fiber)
    })
  ))

const scrubMessage = (message: unknown): unknown => Array.isArray(message) ? message.map(scrubAny) : scrubAny(message)

/** The fiber as a logger reads it: its annotations and the labels of its log spans scrubbed, all else as it is. */
const scrubFiber = (fiber: Fiber<unknown, unknown>): Fiber<unknown, unknown> => {
  const annotations = fiber.getRef(References.CurrentLogAnnotations)
  const spans = fiber.getRef(References.CurrentLogSpans)
  const context = fiber.context.pipe(
    Context.add(References.CurrentLogAnnotations, scrubRecord(annotations)),
    Context.add(References.CurrentLogSpans, spans.map(([label, at]) => [scrubText(label), at]))
  )
  return Object.create(fiber, { context: { value: context } }) as Fiber<unknown, unknown>
}

const scrubRecord = (record: { readonly [key: string]: unknown }): { readonly [key: string]: unknown } => {
  const scrubbed = scrubValue(record)
  return typeof scrubbed === "object" && scrubbed !== null ? scrubbed as { readonly [key: string]: unknown } : {}
}

// --- the tracer

/** The span that a guarded one writes to: tracers look into the parents that they are given. */
const targets = new WeakMap<object, Tracer.Span>()

const targetOf = <A extends Tracer.AnySpan>(span: A): Tracer.AnySpan => targets.get(span) ?? span

/** @internal */
export const tracer = (self: Tracer.Tracer): Tracer.Tracer =>
  isGuarded(self) ? self : guard<Tracer.Tracer>({
    span: (options) =>
      scrubSpan(self.span({
        ...options,
        name: scrubText(options.name),
        parent: Option.map(options.parent, targetOf),
        links: options.links.map(scrubLink)
      })),
    ...self.context === undefined ? {} : { context: (primitive, fiber) => self.context!(primitive, fiber) }
  })

const scrubLink = ({ attributes, span }: Tracer.SpanLink): Tracer.SpanLink => ({
  span: targetOf(span),
  attributes: scrubRecord(attributes)
})

const scrubSpan = (span: Tracer.Span): Tracer.Span => {
  const scrubbed: Tracer.Span = {
    _tag: "Span",
    name: span.name,
    get spanId() {
      return span.spanId
    },
    get traceId() {
      return span.traceId
    },
    get parent() {
      return span.parent
    },
    get annotations() {
      return span.annotations
    },
    get status() {
      return span.status
    },
    get attributes() {
      return span.attributes
    },
    get links() {
      return span.links
    },
    sampled: span.sampled,
    kind: span.kind,
    end: (endTime, exit) => span.end(endTime, scrubExit(exit)),
    attribute: (key, value) => {
      const [entry] = Object.entries(scrubRecord({ [key]: value }))
      if (entry !== undefined) span.attribute(entry[0], entry[1])
    },
    event: (name, startTime, attributes) =>
      span.event(scrubUpTo(name, textMax), startTime, attributes === undefined ? undefined : scrubRecord(attributes)),
    addLinks: (links) => span.addLinks(links.map(scrubLink))
  }
  targets.set(scrubbed, span)
  return scrubbed
}

// --- error reporters

/** @internal */
export const reporter = (self: ErrorReporter.ErrorReporter): ErrorReporter.ErrorReporter =>
  isGuarded(self) ? self : guard<ErrorReporter.ErrorReporter>({
    ...self,
    report: (options) => self.report({ ...options, cause: scrubCause(options.cause), fiber: scrubFiber(options.fiber) })
  })

// --- the console

/** @internal */
export const console = (self: Console): Console => {
  if (isGuarded(self)) return self
  const all = (values: ReadonlyArray<unknown>) => values.map(scrubAny)
  const label = (text: string | undefined) => text === undefined ? undefined : scrubText(text)
  return guard<Console>({
    assert: (condition, ...values) => self.assert(condition, ...all(values)),
    clear: () => self.clear(),
    count: (text) => self.count(label(text)),
    countReset: (text) => self.countReset(label(text)),
    debug: (...values) => self.debug(...all(values)),
    dir: (item, options) => self.dir(scrubAny(item), options),
    dirxml: (...values) => self.dirxml(...all(values)),
    error: (...values) => self.error(...all(values)),
    group: (...values) => self.group(...all(values)),
    groupCollapsed: (...values) => self.groupCollapsed(...all(values)),
    groupEnd: () => self.groupEnd(),
    info: (...values) => self.info(...all(values)),
    log: (...values) => self.log(...all(values)),
    table: (data, properties) => self.table(scrubAny(data), properties),
    time: (text) => self.time(label(text)),
    timeEnd: (text) => self.timeEnd(label(text)),
    timeLog: (text, ...values) => self.timeLog(label(text), ...all(values)),
    trace: (...values) => self.trace(...all(values)),
    warn: (...values) => self.warn(...all(values))
  })
}
