// What a verification costs over the HMAC that it cannot do without: the floor is node:crypto's createHmac over prefix and
// body with a key made once, and a comparison in constant time. Beside it the libraries of the two schemes.
import { NodeCrypto } from "@effect/platform-node"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { Signature } from "effect-payments"
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto"
import { Webhook } from "standardwebhooks"
import { Stripe } from "stripe"
import { type Contender, measure } from "./measure.ts"
import { atMost, makeReport, type Report, type Row } from "./report.ts"

const operations = 100

const stripeSecret = "whsec_test_secret_of_a_webhook"
const standardKey = Buffer.alloc(32, 7)
const standardSecret = `whsec_${standardKey.toString("base64")}`

/** JSON as Stripe writes it, of about so many bytes. */
const bodyOf = (bytes: number): Buffer => {
  const line = { id: "line_1", description: "Zoë bought a thing", amount: 500, currency: "eur" }
  const count = Math.max(1, Math.round(bytes / (JSON.stringify(line, null, 2).length + 40)))
  return Buffer.from(JSON.stringify({ id: "evt_1", lines: Array.from({ length: count }, () => line) }, null, 2))
}

const bodies = { "1 KB": bodyOf(1_000), "16 KB": bodyOf(16_000), "256 KB": bodyOf(256_000) }

type Size = keyof typeof bodies

// --- the floor

const keyBytes = new Uint8Array(Buffer.from(stripeSecret))
const keyObject = createSecretKey(keyBytes)

const floor = (key: KeyObject | Uint8Array, timestamp: string, body: Buffer, signature: string) => (): boolean => {
  const tag = createHmac("sha256", key).update(`${timestamp}.`).update(body).digest()
  const sent = Buffer.from(signature, "hex")
  return sent.length === tag.length && timingSafeEqual(sent, tag)
}

// --- peers

const peersOf = (size: Size, headers: AllHeaders): Readonly<Record<string, Contender>> => {
  const body = bodies[size]
  const { webhooks } = new Stripe("sk_test_x")
  const header = headers.stripe["stripe-signature"] ?? ""
  const webhook = new Webhook(standardSecret)
  return {
    [`stripe, ${size}`]: () => webhooks.signature?.verifyHeader(body, header, stripeSecret),
    [`standardwebhooks, ${size}`]: () => webhook.verify(body, headers.standard)
  }
}

// --- ours

type Headers = Readonly<Record<string, string>>
interface AllHeaders {
  readonly stripe: Headers
  readonly standard: Headers
}

const makeOurs = Effect.gen(function*() {
  const secrets = [Redacted.make(stripeSecret)]
  const standardSecrets = [Redacted.make(standardSecret)]
  const other = Redacted.make("whsec_another_secret")
  const stripe = yield* Signature.make({ scheme: Signature.stripe, secrets })
  const rotated = yield* Signature.make({ scheme: Signature.stripe, secrets: [other, ...secrets] })
  const standard = yield* Signature.make({ scheme: Signature.standardWebhooks, secrets: standardSecrets })
  const sign = (body: Uint8Array) =>
    Effect.all({
      stripe: Signature.sign({ scheme: Signature.stripe, secrets, body }),
      standard: Signature.sign({ scheme: Signature.standardWebhooks, secrets: standardSecrets, body, id: "msg_1" })
    })
  return { stripe, rotated, standard, sign }
})

const repeat = (operation: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; i < operations; i++) yield* operation
  })

const measureSize = async (size: Size, ours: Effect.Success<typeof makeOurs>, headers: AllHeaders) => {
  const body = bodies[size]
  const { "stripe-signature": header = "" } = headers.stripe
  const [, timestamp = "", signature = ""] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(header) ?? []
  const forged = { headers: { "stripe-signature": `t=${timestamp},v1=${"0".repeat(64)}` }, body }
  const inFiber = (operation: Effect.Effect<unknown, Signature.SignatureError>): Contender => ({
    operations,
    run: () => Effect.runPromise(repeat(Effect.orDie(operation)))
  })
  const all: Readonly<Record<string, Contender>> = {
    [`floor, ${size}`]: floor(keyObject, timestamp, body, signature),
    [`floor, key as bytes, ${size}`]: floor(keyBytes, timestamp, body, signature),
    [`Stripe scheme, ${size}`]: inFiber(ours.stripe.verify({ headers: headers.stripe, body })),
    [`second of two secrets, ${size}`]: inFiber(ours.rotated.verify({ headers: headers.stripe, body })),
    [`Standard Webhooks, ${size}`]: inFiber(ours.standard.verify({ headers: headers.standard, body })),
    [`forged, refused, ${size}`]: inFiber(Effect.ignore(ours.stripe.verify(forged))),
    ...peersOf(size, headers)
  }
  const { nanoseconds, ratio } = await measure(all, { rounds: 11 })
  const rows = Object.keys(all).map((name): Row => {
    const time = nanoseconds[name] ?? Number.NaN
    const note = name.startsWith("floor, key as bytes") ? { note: "what Effect's Mac gives to createHmac" } : {}
    return { name, nanoseconds: time, perSecond: 1e9 / time, ratio: ratio(name, `floor, ${size}`), ...note }
  })
  return { rows, toFloor: ratio(`Stripe scheme, ${size}`, `floor, ${size}`) }
}

export const run = async (): Promise<Report> => {
  const runtime = ManagedRuntime.make(NodeCrypto.layer)
  try {
    const ours = await runtime.runPromise(makeOurs)
    const measured = []
    for (const size of Object.keys(bodies) as Array<Size>) {
      measured.push(await measureSize(size, ours, await runtime.runPromise(ours.sign(bodies[size]))))
    }
    const [small, , large] = measured
    return makeReport("webhook", measured.flatMap(({ rows }) => rows), [
      atMost("a verification of 1 KB, through the floor", small?.toFloor ?? Number.NaN, 3),
      atMost("a verification of 256 KB, through the floor", large?.toFloor ?? Number.NaN, 1.25)
    ])
  } finally {
    await runtime.dispose()
  }
}
