/**
 * Errors and causes whose texts and fields are scrubbed, for what renders them.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import type { StackFrame } from "effect/References"
import { ErrorReporter } from "../effect/errorReporter.ts"
import { scrub as scrubText, scrubUpTo } from "./text.ts"
import { scrub as scrubValue } from "./value.ts"

// How far down the causes of an error are shown, how many errors of an aggregate, and how long texts may be.
const depthMax = 8
const errorsMax = 64
const textMax = 16_384

// The same error gives the same copy, by which reporters know what they have reported.
const copies = new WeakMap<object, unknown>()

/** @internal An error as a plain `Error` with its name, message, stack, fields and cause scrubbed; all else as JSON. */
export const scrubError = (value: unknown): unknown => copyOf(value, 0)

const copyOf = (value: unknown, depth: number): unknown => {
  if (typeof value === "string") return scrubUpTo(value, textMax)
  if (typeof value !== "object" || value === null) return scrubValue(value)
  const known = copies.get(value)
  if (known !== undefined) return known
  const copy = isError(value) ? copyError(value, depth) : scrubValue(value)
  copies.set(value, copy)
  return copy
}

const isError = (value: object): value is Error => {
  try {
    return value instanceof Error && !Redacted.isRedacted(value)
  } catch {
    return false
  }
}

/** What reporters look for, which classes of errors have on their prototype. */
const reportable: ReadonlyArray<string> = [ErrorReporter.ignore, ErrorReporter.severity, ErrorReporter.attributes]

const copyError = (error: Error, depth: number): Error => {
  const message = textOf(() => error.message)
  const copy = new Error(message)
  copies.set(error, copy)
  define(copy, "name", textOf(() => error.name))
  define(copy, "stack", textOf(() => error.stack ?? `${error.name}: ${error.message}`))
  const cause = read(error, "cause")
  if (cause !== undefined) define(copy, "cause", depth < depthMax ? copyOf(cause, depth + 1) : "[too deep]")
  const errors = read(error, "errors")
  if (Array.isArray(errors)) define(copy, "errors", errors.slice(0, errorsMax).map((one) => copyOf(one, depth + 1)))
  for (const [key, value] of fieldsOf(error)) Object.defineProperty(copy, key, { ...property, enumerable: true, value })
  for (const key of reportable) {
    const value = read(error, key)
    if (value !== undefined) define(copy, key, scrubValue(value))
  }
  return copy
}

const property = { configurable: true, writable: true }

const define = (copy: Error, key: string, value: unknown) => Object.defineProperty(copy, key, { ...property, value })

const ofError: ReadonlySet<string> = new Set(["name", "message", "stack", "cause", "errors", ...reportable])

const fieldsOf = (error: Error): ReadonlyArray<readonly [string, unknown]> => {
  const fields = scrubValue(Object.fromEntries(keysOf(error).map((key) => [key, read(error, key)])))
  return typeof fields === "object" && fields !== null ? Object.entries(fields) : []
}

const keysOf = (error: Error): ReadonlyArray<string> => {
  try {
    return Object.keys(error).filter((key) => !ofError.has(key))
  } catch {
    return []
  }
}

const read = (error: Error, key: string): unknown => {
  try {
    return (error as unknown as { readonly [key: string]: unknown })[key]
  } catch {
    return "[unreadable]"
  }
}

const textOf = (text: () => unknown): string => {
  try {
    return scrubUpTo(String(text()), textMax)
  } catch {
    return "[unreadable]"
  }
}

/** @internal */
export const scrubCause = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> => {
  if (cause.reasons.length === 0) return cause
  const known = copies.get(cause) as Cause.Cause<unknown> | undefined
  if (known !== undefined) return known
  const copy = Cause.fromReasons(cause.reasons.map(scrubReason))
  copies.set(cause, copy)
  return copy
}

const scrubReason = (reason: Cause.Reason<unknown>): Cause.Reason<unknown> => {
  const annotations = scrubAnnotations(Cause.reasonAnnotations(reason))
  switch (reason._tag) {
    case "Fail":
      return Cause.makeFailReason(scrubError(reason.error)).annotate(annotations)
    case "Die":
      return Cause.makeDieReason(scrubError(reason.defect)).annotate(annotations)
    case "Interrupt":
      return Cause.makeInterruptReason(reason.fiberId).annotate(annotations)
  }
}

/** Stack frames have the names of spans. */
const scrubAnnotations = (annotations: Context.Context<never>): Context.Context<never> =>
  withScrubbed(withScrubbed(annotations, Cause.StackTrace), Cause.InterruptorStackTrace)

const withScrubbed = <Id>(
  annotations: Context.Context<never>,
  key: Context.Key<Id, StackFrame>
): Context.Context<never> => {
  const frame = Context.getOrUndefined(annotations, key)
  return frame === undefined ? annotations : Context.add(annotations, key, scrubFrame(frame, depthMax))
}

const scrubFrame = (frame: StackFrame, depth: number): StackFrame => ({
  name: scrubText(frame.name),
  stack: frame.stack,
  parent: frame.parent === undefined || depth === 0 ? undefined : scrubFrame(frame.parent, depth - 1)
})

/** @internal What a trace shows of an end: whether it went well, and if not why. Results are left out. */
export const scrubExit = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  Exit.isSuccess(exit) ? Exit.void : Exit.failCause(scrubCause(exit.cause))
