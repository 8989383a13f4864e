/**
 * Takes out of texts and values what may not be kept or shown, and stands before every way out of a program.
 *
 * Logs, audit entries, traces and error reports count as storage. PCI DSS 3.3.1 forbids to store security codes, magnetic
 * stripes and PIN blocks after authorization in any form, and 3.5.1 to store card numbers in the clear; this is the last
 * line that keeps them out. Security codes, tracks and PIN blocks go whole; a card number keeps its last four digits;
 * secrets go whole.
 *
 * It guarantees to be total: it never throws, takes time linear in what it reads, reads a bounded amount of a value and
 * never changes its input. Scrubbing twice is scrubbing once, and JSON stays JSON. It does not guarantee that nothing is
 * missed: encryption, compression and base64 of base64 hide what they hold, and an id that has the leading digits, the length and the check
 * digit of a card is taken for one. The first line is not to have them: use `Card.CardToken`.
 *
 * | | bound |
 * |---|---|
 * | depth of a value | 8 levels |
 * | parts of a value | 1000 |
 * | characters of a text in a value, of all together | 8192, 65,536 |
 * | characters of a log line's message | 65,536 |
 * | characters of a text of an error | 16,384 |
 * | characters that {@link scrubStream} keeps | 65,536 |
 *
 * Read `Observe` next, which passes through here whatever it writes.
 *
 * @since 0.1.0
 */
import type * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import type * as Logger from "effect/Logger"
import type * as Runtime from "effect/Runtime"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { ErrorReporter } from "./internal/effect/errorReporter.ts"
import * as exits from "./internal/redaction/exits.ts"
import * as layers from "./internal/redaction/layer.ts"
import * as stream from "./internal/redaction/stream.ts"
import * as text from "./internal/redaction/text.ts"
import * as value from "./internal/redaction/value.ts"

/**
 * Scrubs a text.
 *
 * **Details**
 *
 * | found | left |
 * |---|---|
 * | a card number (see `Card.findPans`) | `[PAN ****1111]` |
 * | a security code behind its label (`cvv: 123`, `<cvv>123</cvv>`, `Sicherheitscode 123`) | `[CVV]` |
 * | track 1 or track 2 of a magnetic stripe, tag 57 of EMV | `[TRACK]` |
 * | a PIN or a PIN block behind its label | `[PIN]` |
 *
 * They are found behind percent-encoding, escapes of JSON and HTML and colours of a terminal; in base64, hexadecimal and
 * dumps of bytes; in lists of digits and of groups; in numbered fields (`cc1=4111&cc2=…`); and behind their length in
 * ISO 8583. A number in JSON becomes a string there.
 *
 * **Example**
 *
 * ```ts
 * import { Redaction } from "effect-payments"
 *
 * Redaction.scrub("card 4111 1111 1111 1111, cvv=123, order 20261124") // => "card [PAN ****1111], cvv=[CVV], order 20261124"
 * Redaction.scrub("{\"card\":4111111111111111,\"cents\":500}") // => "{\"card\":\"[PAN ****1111]\",\"cents\":500}"
 * Redaction.scrub("Basic dXNlcjo0MTExMTExMTExMTExMTEx") // => "Basic [PAN ****1111]"
 * ```
 *
 * @category scrubbing
 * @since 0.1.0
 */
export const scrub: (text: string) => string = text.scrub

/**
 * Scrubs any value in memory and answers plain JSON.
 *
 * **Details**
 *
 * Texts are scrubbed as by {@link scrub}, keys and numbers too. Under a key that says what it holds (`cvv`,
 * `security_code`, `cardNumber`, `pan`, `track2`, `pin`, `password`, `token` and their like, in any case and with any
 * separator) the value goes whatever it looks like; in a pair of name and value it goes when it looks like one. `Redacted` values stay redacted and `Redactable` ones show what they
 * choose to. Bytes show their length, errors their name, message, fields and cause but no stack, maps and sets their
 * entries. What is beyond the bounds, circular or cannot be read is named as such: `[too deep]`, `[too large]`,
 * `[circular]`, `[unreadable]`.
 *
 * **Example**
 *
 * ```ts
 * import { Redacted } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * Redaction.scrubUnknown({ cardNumber: 4111111111111111, security_code: "123", key: Redacted.make("k"), cents: 500 })
 * // => { cardNumber: "[PAN ****1111]", security_code: "[CVV]", key: "<redacted>", cents: 500 }
 * ```
 *
 * @category scrubbing
 * @since 0.1.0
 */
export const scrubUnknown: (value: unknown) => Schema.Json = value.scrub

/**
 * What was found, from `start` to before `end` in UTF-16 units, in which line (from 1). What is encoded spans all that
 * was decoded to find it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly line: number
  readonly kind: "pan" | "cvv" | "track" | "pinBlock"
}

/**
 * Part of a text that was scrubbed, and what was found, by its place in the whole text that came in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scrubbed {
  readonly text: string
  readonly findings: ReadonlyArray<Finding>
}

/**
 * Scrubs a text that comes in pieces, however it is cut, in bounded memory.
 *
 * **Details**
 *
 * It works on 65,536 characters at a time and cuts them anew where nothing that has to go lies across: at the end of a
 * line or between words.
 *
 * **Gotchas**
 *
 * It gives out nothing before it has 65,536 characters or the text ends: it is for files, not for following a log.
 *
 * In a run of more than 60,000 characters of base64 or hexadecimal without a break, a card number that lies across the
 * cut can be missed.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * const pieces = Stream.make("ok\npan 4111 1111", " 1111 1111\n").pipe(Redaction.scrubStream, Stream.runCollect)
 * const [piece] = await Effect.runPromise(pieces)
 *
 * piece?.text // => "ok\npan [PAN ****1111]\n"
 * piece?.findings // => [{ start: 7, end: 26, line: 2, kind: "pan" }]
 * ```
 *
 * @category scrubbing
 * @since 0.1.0
 */
export const scrubStream = <E, R>(self: Stream.Stream<string, E, R>): Stream.Stream<Scrubbed, E, R> =>
  Stream.suspend(() => {
    const scrubber = stream.make()
    const pieces = Stream.flatMap(self, (chunk) => Stream.fromIterable(scrubber.push(chunk)))
    return Stream.concat(pieces, Stream.suspend(() => Stream.fromIterable(scrubber.end())))
  })

/**
 * What {@link layer} is to stand before. What is left out is taken from the place where the layer is built: the loggers,
 * the tracer and the reporters that are there.
 *
 * @category models
 * @since 0.1.0
 */
export interface GuardOptions<out E = never, out R = never> {
  readonly loggers?:
    | ReadonlyArray<Logger.Logger<unknown, unknown> | Effect.Effect<Logger.Logger<unknown, unknown>, E, R>>
    | undefined
  readonly tracer?: Tracer.Tracer | Effect.Effect<Tracer.Tracer, E, R> | undefined
  readonly reporters?:
    | ReadonlyArray<ErrorReporter.ErrorReporter | Effect.Effect<ErrorReporter.ErrorReporter, E, R>>
    | undefined
}

/**
 * Stands before every way out of a program: loggers, tracer, error reporters and the console.
 *
 * **When to use**
 *
 * In place of `Logger.layer`, `ErrorReporter.layer` and a layer of a tracer, as the last layer that is provided.
 *
 * **Details**
 *
 * Scrubbed are messages, annotations, labels of log spans, causes with the fields, stacks and causes of their errors;
 * names, attributes, events, links and failures of spans, whose results are left out; what is reported; what is printed.
 * To have a tracer of another layer behind it, provide that layer to this one.
 *
 * **Gotchas**
 *
 * A logger, a tracer or a reporter that is provided nearer to the effect is not behind it: wrap it by {@link logger},
 * {@link tracer} or {@link reporter}. {@link unguarded} lists what is not. The last report of a program is made outside
 * of its layers: use {@link runMain}.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Logger } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * const lines: Array<unknown> = []
 * const collect = Logger.map(Logger.formatLogFmt, (line) => void lines.push(line))
 *
 * await Effect.runPromise(
 *   Effect.logError("declined", new Error("card 4111111111111111")).pipe(
 *     Effect.annotateLogs("cvv", "123"),
 *     Effect.provide(Redaction.layer({ loggers: [collect] }))
 *   )
 * )
 * const log = lines.join("")
 * log.includes("4111111111111111") // => false
 * log.includes("cvv=[CVV]") // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: GuardOptions<E, R> = {}
): Layer.Layer<never, E, Exclude<R, Scope.Scope>> => layers.layer(options)

/**
 * A logger behind the scrubber. One that is already is answered as it is.
 *
 * @category guards
 * @since 0.1.0
 */
export const logger: <Message, Output>(self: Logger.Logger<Message, Output>) => Logger.Logger<Message, Output> =
  exits.logger

/**
 * A tracer behind the scrubber: what it is told of spans is scrubbed.
 *
 * @category guards
 * @since 0.1.0
 */
export const tracer: (self: Tracer.Tracer) => Tracer.Tracer = exits.tracer

/**
 * An error reporter behind the scrubber. It gets plain errors that have the name, the fields and the stack of the ones
 * reported, not their class; the same error gives the same copy.
 *
 * @category guards
 * @since 0.1.0
 */
export const reporter: (self: ErrorReporter.ErrorReporter) => ErrorReporter.ErrorReporter = exits.reporter

/**
 * A way out that is not behind the scrubber.
 *
 * @category models
 * @since 0.1.0
 */
export type Unguarded =
  | { readonly _tag: "Logger"; readonly logger: Logger.Logger<unknown, unknown> }
  | { readonly _tag: "Tracer"; readonly tracer: Tracer.Tracer }
  | { readonly _tag: "Reporter"; readonly reporter: ErrorReporter.ErrorReporter }
  | { readonly _tag: "Console"; readonly console: Console.Console }

/**
 * The ways out at this place that are not behind the scrubber. None behind {@link layer}; a test of a program can assert
 * that where it matters.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Layer, Logger } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * const count = Effect.map(Redaction.unguarded, (exits) => exits.length)
 * const nearer = Logger.layer([Logger.formatJson])
 *
 * Effect.runSync(count.pipe(Effect.provide(Redaction.layer()))) // => 0
 * Effect.runSync(count.pipe(Effect.provide(nearer.pipe(Layer.provideMerge(Redaction.layer()))))) // => 1
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const unguarded: Effect.Effect<ReadonlyArray<Unguarded>> = layers.unguarded

/**
 * How a platform runs a program, such as `NodeRuntime.runMain`.
 *
 * @category models
 * @since 0.1.0
 */
export type RunMain = <E, A>(
  effect: Effect.Effect<A, E>,
  options?: { readonly disableErrorReporting?: boolean | undefined; readonly teardown?: Runtime.Teardown | undefined }
) => void

/**
 * Runs a program by `run`, behind {@link layer}, the last report of its failure included.
 *
 * **Details**
 *
 * `run` reports a failure outside of all that the program provides to itself. Here the report is made inside, with the
 * guarded loggers, and `run` is told to be silent. Exit codes and signals are left to it.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Logger, Runtime } from "effect"
 * import { Redaction } from "effect-payments"
 *
 * const lines: Array<string> = []
 * const collect = Logger.map(Logger.formatLogFmt, (line) => void lines.push(line))
 *
 * // On Node, `NodeRuntime.runMain` of @effect/platform-node.
 * await new Promise<void>((resolve) => {
 *   const run = Runtime.makeRunMain(({ fiber }) => fiber.addObserver(() => resolve()))
 *   Effect.die(new Error("no such card: 4111111111111111")).pipe(Redaction.runMain(run, { loggers: [collect] }))
 * })
 * lines.join().includes("no such card: [PAN ****1111]") // => true
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const runMain: {
  (
    run: RunMain,
    options?: GuardOptions & { readonly teardown?: Runtime.Teardown | undefined }
  ): <A, E>(self: Effect.Effect<A, E>) => void
  <A, E>(
    self: Effect.Effect<A, E>,
    run: RunMain,
    options?: GuardOptions & { readonly teardown?: Runtime.Teardown | undefined }
  ): void
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E>(
    self: Effect.Effect<A, E>,
    run: RunMain,
    options: GuardOptions & { readonly teardown?: Runtime.Teardown | undefined } = {}
  ): void =>
    run(layers.withLastReport(self, options), {
      disableErrorReporting: true,
      ...options.teardown === undefined ? {} : { teardown: options.teardown }
    })
)
