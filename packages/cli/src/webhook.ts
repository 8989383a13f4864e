/**
 * `payctl webhook`: checks the verifier against a file of vectors, and signs a body as a provider would.
 *
 * @internal
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as Signature from "effect-payments/Signature"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

/** Exit code 1: a verdict is not the one that the file expects. What they are is on stdout. */
class VerdictsDiffer extends Schema.TaggedError<VerdictsDiffer>()("VerdictsDiffer", {
  count: Schema.Number,
  of: Schema.Number
}) {
  override readonly [Runtime.errorExitCode] = 1
  override get [CliError.userMessage](): string {
    return `${this.count} of ${this.of} verdicts are not those that the file expects`
  }
}

/** Exit code 2: a file or a secret that cannot be used. */
class BadInput extends Schema.TaggedError<BadInput>()("BadInput", { what: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2
  override get [CliError.userMessage](): string {
    return this.what
  }
}

const schemes: ReadonlyMap<string, Signature.Scheme> = new Map(
  [Signature.stripe, Signature.standardWebhooks, Signature.github].map((scheme) => [scheme.name, scheme])
)

// --- verify

/** What every vector says. One of a provider that is not supported may hold anything else. */
const Named = Schema.Struct({ id: Schema.String, provider: Schema.String })

/** What a vector has to say; other fields are left alone. */
const Vector = Schema.Struct({
  ...Named.fields,
  nowSec: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e11 })),
  toleranceSec: Schema.optionalKey(Schema.NullOr(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e9 })))),
  secrets: Schema.Array(Schema.String),
  headers: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)])),
  bodyBase64: Schema.String,
  expect: Schema.optionalKey(Schema.NullOr(Schema.Literals(["accept", "reject"]))),
  reason: Schema.optionalKey(Schema.NullOr(Schema.String))
})

const Vectors = Schema.fromJsonString(
  Schema.Union([Schema.Struct({ vectors: Schema.Array(Schema.Unknown) }), Schema.Array(Schema.Unknown)])
)

type Read = { readonly isSupported: false } & typeof Named.Type | { readonly isSupported: true } & typeof Vector.Type

const readVector = Effect.fnUntraced(function*(value: unknown, index: number) {
  const named = yield* decodeAt(Named, value, `vector ${index + 1}`)
  if (!schemes.has(named.provider)) return { ...named, isSupported: false } satisfies Read
  return { ...yield* decodeAt(Vector, value, named.id), isSupported: true } satisfies Read
})

const decodeAt = <A, I>(schema: Schema.Codec<A, I>, value: unknown, where: string): Effect.Effect<A, BadInput> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(value),
    (error) => new BadInput({ what: `${where}: ${error.message.slice(0, 500)}` })
  )

interface Verdict {
  readonly id: string
  readonly provider: string
  readonly verdict: "accept" | "reject" | "unsupported"
  readonly reason: string | null
}

const fileLimitBytes = 256 * 1024 * 1024

const readFile = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const size = Number((yield* fs.stat(path)).size)
  if (size > fileLimitBytes) return yield* new BadInput({ what: `${path}: larger than ${fileLimitBytes} bytes` })
  return yield* fs.readFile(path)
}, (self, path) =>
  Effect.catchTag(
    self,
    "PlatformError",
    ({ reason }) => Effect.fail(new BadInput({ what: `${path}: cannot be read (${reason._tag})` }))
  ))

const readVectors = Effect.fnUntraced(function*(path: string) {
  const text = new TextDecoder().decode(yield* readFile(path))
  const vectors = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Vectors)(text),
    (error) => new BadInput({ what: `${path}: no vectors: ${error.message.slice(0, 500)}` })
  )
  return yield* Effect.forEach("vectors" in vectors ? vectors.vectors : vectors, readVector)
})

/** A clock that stands still. */
const clockAt = (seconds: number): Clock.Clock => ({
  currentTimeMillisUnsafe: () => seconds * 1000,
  currentTimeMillis: Effect.succeed(seconds * 1000),
  currentTimeNanosUnsafe: () => BigInt(seconds) * 1_000_000_000n,
  currentTimeNanos: Effect.succeed(BigInt(seconds) * 1_000_000_000n),
  monotonicTimeNanosUnsafe: () => 0n,
  monotonicTimeNanos: Effect.succeed(0n),
  sleep: () => Effect.never
})

/** The asymmetric signatures of Standard Webhooks are another scheme than the symmetric ones. */
const isAsymmetric = ({ provider, secrets }: typeof Vector.Type): boolean =>
  provider === Signature.standardWebhooks.name && secrets.some((secret) => secret.startsWith("whpk_"))

const verdictOf = Effect.fnUntraced(function*(vector: Read) {
  const { id, provider } = vector
  const scheme = schemes.get(provider)
  if (scheme === undefined || !vector.isSupported || isAsymmetric(vector)) {
    return { id, provider, verdict: "unsupported", reason: null } as const
  }
  const { bodyBase64, headers, nowSec, secrets, toleranceSec } = vector
  const body = Base64.decode(bodyBase64)
  if (Result.isFailure(body)) return yield* new BadInput({ what: `${id}: bodyBase64 is no Base64` })
  const result = yield* Signature.make({
    scheme,
    secrets: secrets.map((secret) => Redacted.make(secret)),
    ...toleranceSec == null ? {} : { tolerance: toleranceSec * 1000 }
  }).pipe(
    Effect.flatMap((verifier) => verifier.verify({ headers, body: body.success })),
    Effect.provideService(Clock.Clock, clockAt(nowSec)),
    Effect.result
  )
  return Result.isSuccess(result)
    ? { id, provider, verdict: "accept", reason: null } as const
    : { id, provider, verdict: "reject", reason: result.failure.reason._tag } as const
})

const differs = (vector: Read, verdict: Verdict): boolean => {
  if (!vector.isSupported || verdict.verdict === "unsupported" || vector.expect == null) return false
  return verdict.verdict !== vector.expect || (vector.reason != null && verdict.reason !== vector.reason)
}

const toText = ({ id, reason, verdict }: Verdict): string =>
  `${verdict.padEnd(11)}  ${id}${reason === null ? "" : `  ${reason}`}`

const verify = Command.make(
  "verify",
  {
    vectors: Flag.String("vectors").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("JSON with an array of vectors")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print a JSON object a line"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function*({ json, vectors: path }) {
    const vectors = yield* readVectors(path)
    const verdicts = yield* Effect.forEach(vectors, verdictOf).pipe(Effect.provide(NodeCrypto.layer))
    const lines = verdicts.map((verdict) => json ? JSON.stringify(verdict) : toText(verdict))
    if (lines.length > 0) yield* Console.log(lines.join("\n"))
    const wrong = vectors.filter((vector, index) => {
      const verdict = verdicts[index]
      return verdict !== undefined && differs(vector, verdict)
    })
    if (wrong.length > 0) return yield* new VerdictsDiffer({ count: wrong.length, of: vectors.length })
  })
).pipe(
  Command.withDescription(
    "Verifies each vector of a file and prints its verdict: accept, reject with the reason, or unsupported. "
      + "Ends with 1 when a verdict or a reason is not the one that the file expects"
  ),
  Command.withShortDescription("Check the verifier against vectors"),
  Command.withExamples([
    { command: "payctl webhook verify --vectors vectors.json --json", description: "A verdict a line, as JSON" }
  ])
)

// --- sign

const secretName = "PAYCTL_WEBHOOK_SECRET"

const sign = Command.make(
  "sign",
  {
    scheme: Flag.Literals("scheme", Array.from(schemes.keys())).pipe(Flag.withDescription("Which provider signs")),
    body: Flag.String("body").pipe(Flag.withMetavar("FILE"), Flag.withDescription("The bytes to sign")),
    id: Flag.String("id").pipe(Flag.withDescription("The id, where it is signed"), Flag.withDefault("msg_1"))
  },
  Effect.fnUntraced(function*({ body: path, id, scheme: name }) {
    const scheme = schemes.get(name) ?? Signature.stripe
    const secret = yield* Effect.mapError(
      Config.Redacted(secretName),
      () => new BadInput({ what: `the secret is read from the variable ${secretName}, which is not set` })
    )
    const body = yield* readFile(path)
    const headers = yield* Signature.sign({ scheme, secrets: [secret], body, id }).pipe(
      Effect.mapError((error) => new BadInput({ what: error.message })),
      Effect.provide(NodeCrypto.layer)
    )
    yield* Console.log(Object.entries(headers).map(([header, value]) => `${header}: ${value}`).join("\n"))
  })
).pipe(
  Command.withDescription(
    `Prints the headers that a provider would send with a body now. The secret is read from ${secretName}`
  ),
  Command.withShortDescription("Sign a body as a provider would"),
  Command.withExamples([
    { command: "payctl webhook sign --scheme stripe --body event.json", description: "Headers for curl -H @-" }
  ])
)

/** @internal */
export const webhook = Command.make("webhook").pipe(
  Command.withDescription("Signatures of webhooks"),
  Command.withShortDescription("Verify and sign webhooks"),
  Command.withSubcommands([verify, sign])
)
