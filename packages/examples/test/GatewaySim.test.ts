import { assert, describe, it, layer, vi } from "@effect/vitest"
import { Duration, Effect, Result } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { createHmac } from "node:crypto"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { isBefore, parse } from "../src/gateway-sim/Faults.ts"
import { GatewaySim, layer as layerSim, start } from "../src/gateway-sim/start.ts"
import { authorization, charge, receiver, send, until } from "./support/wire.ts"

// Each starts processes, on machines that have other things to do.
vi.setConfig({ testTimeout: 60_000 })

const live = { excludeTestServices: true, timeout: Duration.seconds(60) }
let counter = 0
const newKey = () => `key-${++counter}`

const lookup = (baseUrl: string, key: string) =>
  Effect.map(
    send(`${baseUrl}/v1/operations/by-key/${encodeURIComponent(key)}`),
    ({ body, status }): string => status === 200 ? body.state : body?.error?.code ?? String(status)
  )

const rowsOf = Effect.fnUntraced(function*(key: string) {
  const { ledger } = yield* GatewaySim
  return (yield* ledger).operations.filter((row) => row.key === key)
})

layer(layerSim(), live)("the simulator", (it) => {
  const faults: ReadonlyArray<{
    readonly plan: string
    readonly status: number | "cut" | "silent"
    readonly charged: boolean
    readonly found?: string
    readonly again?: number
  }> = [
    { plan: "none", status: 201, charged: true },
    { plan: "fail-before", status: 503, charged: false },
    { plan: "fault-500-before", status: 500, charged: false },
    { plan: "fault-500-after", status: 500, charged: true },
    { plan: "fail-after", status: 502, charged: true },
    { plan: "unavailable-after", status: 503, charged: true },
    { plan: "drop-before", status: "cut", charged: false },
    { plan: "lost-reply", status: "cut", charged: true },
    { plan: "reset-reply", status: "cut", charged: true },
    { plan: "hang-before", status: "silent", charged: false },
    { plan: "hang-after", status: "silent", charged: true },
    { plan: "garbage", status: 201, charged: true },
    { plan: "wrong-shape", status: 201, charged: true },
    { plan: "wrong-amount", status: 201, charged: true },
    { plan: "oversized", status: 201, charged: true },
    { plan: "truncated", status: "cut", charged: true },
    { plan: "rate-limit=2", status: 429, charged: false },
    { plan: "rate-limit-date=2", status: 429, charged: false },
    { plan: "duplicate", status: 201, charged: true },
    { plan: "decline=expired_card", status: 402, charged: false, found: "refused", again: 402 }
  ]
  it.effect.each(faults)("$plan", ({ again, charged, found, plan, status }) =>
    Effect.gen(function*() {
      const { baseUrl, charges } = yield* GatewaySim
      const key = newKey()
      const before = yield* charges
      const answer = yield* charge(baseUrl, key, { plan, patienceMillis: plan.startsWith("hang") ? 1000 : 5000 })
      assert.strictEqual(answer.status, status)
      assert.strictEqual((yield* charges) - before, charged ? 1 : 0)
      assert.strictEqual(yield* lookup(baseUrl, key), found ?? (charged ? "completed" : "unknown_key"))
      const second = yield* charge(baseUrl, key)
      assert.strictEqual(second.status, again ?? 201)
      assert.strictEqual((yield* charges) - before, again === 402 ? 0 : 1)
      assert.lengthOf(yield* rowsOf(key), 1)
    }))

  it.effect("promises processed: false for what it did not process, and for nothing else", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const promised = (plan: string) =>
        Effect.map(charge(baseUrl, newKey(), { plan }), ({ body }) => body.error.processed)
      assert.isFalse(yield* promised("fail-before"))
      assert.isFalse(yield* promised("rate-limit=1"))
      assert.isUndefined(yield* promised("unavailable-after"))
      assert.isUndefined(yield* promised("fault-500-before"))
    }))

  it.effect("meets the n-th request under a key with the n-th fault of the header", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      const plan = "fail-before;times=2, lost-reply"
      const statuses = yield* Effect.all(
        Array.from({ length: 4 }, () => Effect.map(charge(baseUrl, key, { plan }), ({ status }) => status))
      )
      assert.deepStrictEqual(statuses, [503, 503, "cut", 201])
      assert.lengthOf(yield* rowsOf(key), 1)
    }))

  it.effect("gives the first answer again, and says so", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      for (const [token, status] of [["tok_visa", 201], ["tok_stolen", 402]] as const) {
        const key = newKey()
        const first = yield* charge(baseUrl, key, { body: { token } })
        const second = yield* charge(baseUrl, key, { body: { token } })
        assert.deepStrictEqual([first.status, second.status], [status, status])
        assert.strictEqual(second.text, first.text)
        assert.isNull(first.headers.get("idempotent-replayed"))
        assert.strictEqual(second.headers.get("idempotent-replayed"), "true")
        assert.lengthOf(yield* rowsOf(key), 1)
      }
    }))

  it.effect("counts the requests and look-ups under a key", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key, { plan: "fail-before" })
      yield* charge(baseUrl, key)
      yield* charge(baseUrl, key)
      yield* lookup(baseUrl, key)
      const [row] = yield* rowsOf(key)
      assert.deepStrictEqual([row?.requests, row?.lookups], [3, 1])
    }))

  it.effect("tells exchange rates, and fails to on a plan for them", () =>
    Effect.gen(function*() {
      const { baseUrl, plan } = yield* GatewaySim
      const rates = (base: string) => send(`${baseUrl}/v1/rates/${base}`)
      yield* plan({ key: "rates", plan: "fail-before, lost-reply, rate-limit=3" })
      assert.strictEqual((yield* rates("EUR")).status, 503)
      assert.strictEqual((yield* rates("EUR")).status, "cut")
      const limited = yield* rates("EUR")
      assert.deepStrictEqual([limited.status, limited.headers.get("retry-after")], [429, "3"])
      const { body } = yield* rates("USD")
      assert.deepStrictEqual([body.base, body.rates.USD, body.rates.EUR], ["USD", "1.000000", "0.925925"])
      const unknown = yield* rates("XXX")
      assert.deepStrictEqual([unknown.status, unknown.body.error.code], [404, "unknown_currency"])
    }))

  it.effect("refuses another body or path under a key", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      const { body } = yield* charge(baseUrl, key, { body: { capture: false } })
      assert.strictEqual((yield* charge(baseUrl, key, { body: { amountMinor: "1251", capture: false } })).status, 422)
      const headers = { "idempotency-key": key }
      const capture = `${baseUrl}/v1/authorizations/${body.id}/capture`
      assert.strictEqual((yield* send(capture, { method: "POST", body: {}, headers })).status, 422)
      assert.lengthOf(yield* rowsOf(key), 1)
    }))

  it.effect("refuses a duplicate while the first is in flight, and goes on when its client has left", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      assert.strictEqual((yield* charge(baseUrl, key, { plan: "delay=2000", patienceMillis: 100 })).status, "silent")
      assert.strictEqual((yield* charge(baseUrl, key)).status, 409)
      assert.strictEqual((yield* charge(baseUrl, key, { body: { amountMinor: "1" } })).status, 422)
      assert.strictEqual(yield* lookup(baseUrl, key), "in_progress")
      assert.lengthOf(yield* rowsOf(key), 0)
      assert.strictEqual(yield* until(lookup(baseUrl, key), (state) => state !== "in_progress"), "completed")
      assert.lengthOf(yield* rowsOf(key), 1)
    }))

  it.effect("does not know a late request before it arrives", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key, { plan: "late=2000", patienceMillis: 100 })
      assert.strictEqual(yield* lookup(baseUrl, key), "unknown_key")
      assert.strictEqual(yield* until(lookup(baseUrl, key), (state) => state !== "unknown_key"), "completed")
    }))

  it.effect.each(
    [
      ["tok_visa", 201, undefined],
      ["tok_mastercard", 201, undefined],
      ["tok_declined", 402, "generic_decline"],
      ["tok_insufficient", 402, "insufficient_funds"],
      ["tok_stolen", 402, "stolen_card"],
      ["tok_lost", 402, "lost_card"],
      ["tok_fraud", 402, "fraudulent"],
      ["tok_expired", 402, "expired_card"],
      ["tok_cvc", 402, "incorrect_cvc"],
      ["tok_try_again", 402, "try_again_later"],
      ["tok_3ds", 402, "authentication_required"],
      ["tok_rate_limited", 429, "too_many_requests"],
      ["tok_unavailable", 503, "maintenance"],
      ["tok_nobody", 400, "unknown_token"]
    ] as const
  )("card %s", ([token, status, code]) =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const answer = yield* charge(baseUrl, newKey(), { body: { token } })
      assert.deepStrictEqual([answer.status, answer.body.error?.code], [status, code])
      if (token === "tok_3ds") assert.match(answer.body.error.challenge.url, /^https:/)
    }))

  const post = Effect.fnUntraced(function*(path: string, body: object = {}) {
    const { baseUrl } = yield* GatewaySim
    const answer = yield* send(`${baseUrl}${path}`, { method: "POST", body, headers: { "idempotency-key": newKey() } })
    return answer.status === 201 ? answer.body : answer.body.error.code
  })
  const eur = (amountMinor: string) => ({ amountMinor, currency: "EUR" })

  it.effect("keeps the rules of money, and the ledger nets out", () =>
    Effect.gen(function*() {
      const { ledger, reset } = yield* GatewaySim
      yield* reset
      const first = yield* post("/v1/authorizations", { ...authorization, capture: false })
      const at = (name: string) => `/v1/authorizations/${first.id}/${name}`
      assert.strictEqual(first.status, "authorized")
      assert.strictEqual(yield* post(`/v1/transactions/${first.id}/refunds`), "not_captured")
      assert.strictEqual(yield* post(at("capture"), eur("1251")), "capture_exceeds_authorized")
      assert.strictEqual(yield* post(at("capture"), { amountMinor: "1", currency: "USD" }), "currency_mismatch")
      const taken = yield* post(at("capture"), eur("1000"))
      assert.deepInclude(taken, { kind: "capture", status: "captured", amountMinor: "1000", parent: first.id })
      assert.strictEqual(yield* post(at("void")), "already_captured")
      assert.strictEqual(yield* post(at("capture"), eur("251")), "capture_exceeds_authorized")
      const refunds = `/v1/transactions/${taken.id}/refunds`
      assert.strictEqual(yield* post(refunds, eur("1001")), "refund_exceeds_captured")
      assert.strictEqual((yield* post(refunds, eur("600"))).amountMinor, "600")
      assert.strictEqual(yield* post(refunds, eur("401")), "refund_exceeds_captured")
      assert.strictEqual((yield* post(refunds)).amountMinor, "400")
      assert.strictEqual(yield* post(refunds), "refund_exceeds_captured")
      const second = yield* post("/v1/authorizations", { ...authorization, capture: false })
      yield* post(`/v1/authorizations/${second.id}/void`)
      assert.strictEqual(yield* post(`/v1/authorizations/${second.id}/capture`), "already_voided")
      assert.strictEqual(yield* post(`/v1/authorizations/${second.id}/void`), "already_voided")
      assert.strictEqual(yield* post("/v1/authorizations/auth_0/void"), "unknown_transaction")
      const third = yield* post("/v1/authorizations", { ...authorization, token: "tok_hold_lapses", capture: false })
      assert.strictEqual(yield* post(`/v1/authorizations/${third.id}/capture`), "authorization_expired")
      assert.strictEqual((yield* post(`/v1/authorizations/${third.id}/void`)).status, "voided")
      const { charges, totals } = yield* ledger
      assert.strictEqual(charges, 3)
      assert.deepStrictEqual(totals, {
        EUR: { charged: "3750", captured: "1000", voided: "2500", refunded: "1000", net: "0" }
      })
    }))

  it.effect.each(
    [
      ["a body that is no JSON", { body: "{" }, 400],
      ["an amount that is a number", { body: { ...authorization, amountMinor: 1250 } }, 400],
      ["an amount with a point", { body: { ...authorization, amountMinor: "12.50" } }, 400],
      ["an amount of nothing", { body: { ...authorization, amountMinor: "0" } }, 400],
      ["an amount below nothing", { body: { ...authorization, amountMinor: "-1" } }, 400],
      ["a currency that is none", { body: { ...authorization, currency: "euro" } }, 400],
      ["no token", { body: { amountMinor: "1", currency: "EUR" } }, 400],
      ["a body that is too large", { body: { ...authorization, merchantReference: "x".repeat(20_000) } }, 413],
      ["a key with a space", { body: authorization, headers: { "idempotency-key": "a b" } }, 400],
      ["a key that is too long", { body: authorization, headers: { "idempotency-key": "x".repeat(256) } }, 400],
      ["a plan that is none", { body: authorization, headers: { "x-sim-plan": "explode" } }, 400]
    ] as const
  )("refuses %s", ([, options, status]) =>
    Effect.gen(function*() {
      const { baseUrl, ledger } = yield* GatewaySim
      const before = (yield* ledger).operations.length
      const headers = { "idempotency-key": newKey(), ..."headers" in options ? options.headers : {} }
      const url = `${baseUrl}/v1/authorizations`
      assert.strictEqual((yield* send(url, { method: "POST", body: options.body, headers })).status, status)
      assert.strictEqual((yield* ledger).operations.length, before)
    }))

  it.effect("refuses a request without a key", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const answer = yield* send(`${baseUrl}/v1/authorizations`, { method: "POST", body: authorization })
      assert.strictEqual(answer.body.error.code, "idempotency_key_invalid")
    }))

  it.effect("knows keys of any shape it accepts", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = `%/?#:;=&+${"x".repeat(244)}`
      assert.strictEqual((yield* charge(baseUrl, key)).status, 201)
      assert.strictEqual(yield* lookup(baseUrl, key), "completed")
    }))

  it.effect("takes plans by key, by token and for any request, from another client", () =>
    Effect.gen(function*() {
      const { baseUrl, plan, reset } = yield* GatewaySim
      yield* reset
      const key = newKey()
      yield* plan({ key, plan: "fail-before", times: 2 })
      yield* plan({ token: "tok_mastercard", plan: "fault-500-after" })
      const status = (key: string, body?: object) =>
        Effect.map(charge(baseUrl, key, body === undefined ? {} : { body }), ({ status }) => status)
      assert.strictEqual(yield* status(newKey()), 201)
      assert.strictEqual(yield* status(newKey(), { token: "tok_mastercard" }), 500)
      assert.strictEqual(yield* status(newKey(), { token: "tok_mastercard" }), 201)
      assert.deepStrictEqual([yield* status(key), yield* status(key), yield* status(key)], [503, 503, 201])
      yield* plan({ plan: "fail-before" })
      assert.deepStrictEqual([yield* status(newKey()), yield* status(newKey())], [503, 201])
      const error = yield* Effect.flip(plan({ plan: "explode" }))
      assert.include(error.detail, "unknown fault")
    }))

  it.effect("misbehaves on look-ups as planned", () =>
    Effect.gen(function*() {
      const { baseUrl, plan } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key)
      yield* plan({ key, plan: "lookup-pending, lookup-fault-500" })
      assert.strictEqual(yield* lookup(baseUrl, key), "in_progress")
      assert.strictEqual(yield* lookup(baseUrl, key), "internal")
      assert.strictEqual(yield* lookup(baseUrl, key), "completed")
    }))

  it.effect("counts the requests and look-ups of each key", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key, { plan: "fail-before" })
      yield* charge(baseUrl, key)
      yield* charge(baseUrl, key)
      yield* lookup(baseUrl, key)
      yield* lookup(baseUrl, "never sent")
      assert.deepStrictEqual((yield* rowsOf(key)).map(({ lookups, requests }) => ({ lookups, requests })), [
        { lookups: 1, requests: 3 }
      ])
    }))

  it.effect("answers rates, and misbehaves on them as planned", () =>
    Effect.gen(function*() {
      const { baseUrl, plan } = yield* GatewaySim
      const rates = (base: string) => send(`${baseUrl}/v1/rates/${base}`)
      assert.deepInclude((yield* rates("EUR")).body, { base: "EUR" })
      assert.strictEqual((yield* rates("EUR")).body.rates.EUR, "1.000000")
      assert.strictEqual((yield* rates("EUR")).body.rates.USD, "1.080000")
      assert.strictEqual((yield* rates("XXX")).status, 404)
      yield* plan({ key: "rates", plan: "fail-before, fault-500-before" })
      assert.deepStrictEqual([(yield* rates("EUR")).status, (yield* rates("EUR")).status], [503, 500])
    }))

  it.effect("listens on 127.0.0.1 and on no other address", () =>
    Effect.gen(function*() {
      const { port } = yield* GatewaySim
      assert.strictEqual((yield* send(`http://127.0.0.1:${port}/health`)).status, 200)
      assert.strictEqual((yield* send(`http://[::1]:${port}/health`)).status, "cut")
      assert.strictEqual((yield* send(`http://127.0.0.2:${port}/health`)).status, "cut")
    }))
})

layer(layerSim({ dedup: "off" }), live)("the simulator without de-duplication", (it) => {
  it.effect("executes each request", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key)
      yield* charge(baseUrl, key, { body: { amountMinor: "1" } })
      assert.deepStrictEqual((yield* rowsOf(key)).map(({ amountMinor }) => amountMinor), ["1250", "1"])
    }))

  it.effect("executes a request twice that is delivered twice", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key, { plan: "duplicate" })
      assert.lengthOf(yield* until(rowsOf(key), (rows) => rows.length === 2), 2)
    }))

  it.effect("shows what happened, though it was refused before", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* GatewaySim
      const key = newKey()
      yield* charge(baseUrl, key, { plan: "decline=expired_card" })
      assert.strictEqual(yield* lookup(baseUrl, key), "refused")
      yield* charge(baseUrl, key)
      yield* charge(baseUrl, key, { body: { token: "tok_declined" } })
      assert.strictEqual(yield* lookup(baseUrl, key), "completed")
    }))
})

describe("the process", () => {
  const main = fileURLToPath(new URL("../src/gateway-sim/main.ts", import.meta.url))
  const conditions = "--conditions=@effect-payments/source"

  it.live("repeats the faults of chance by seed, whatever the order of requests", () =>
    Effect.gen(function*() {
      const keys = Array.from({ length: 24 }, (_, i) => `chance-${i}`)
      const outcomes = (seed: number, order: ReadonlyArray<string>) =>
        Effect.scoped(Effect.gen(function*() {
          const { baseUrl } = yield* start({ seed, faultRate: 0.5 })
          const seen = new Map<string, unknown>()
          for (const key of order) seen.set(key, (yield* charge(baseUrl, key)).status)
          return keys.map((key) => seen.get(key))
        }))
      const [first, again, other] = yield* Effect.all([
        outcomes(7, keys),
        outcomes(7, keys.toReversed()),
        outcomes(8, keys)
      ])
      assert.deepStrictEqual(again, first)
      assert.notDeepEqual(other, first)
      assert.includeMembers(first, [201])
      assert.isAbove(first.filter((status) => status !== 201).length, 4)
    }))

  it.live("is bounded, delays by its latency, and asks for its API key", () =>
    Effect.scoped(Effect.gen(function*() {
      const { baseUrl } = yield* start({ operationsMax: 2, latencyMillis: 100, apiKey: "sk_test_1" })
      assert.strictEqual((yield* charge(baseUrl, "1")).status, 401)
      const authorized = (key: string) =>
        send(`${baseUrl}/v1/authorizations`, {
          method: "POST",
          body: authorization,
          headers: { "idempotency-key": key, authorization: "Bearer sk_test_1" }
        })
      const began = performance.now()
      assert.strictEqual((yield* authorized("1")).status, 201)
      assert.isAtLeast(performance.now() - began, 95)
      assert.strictEqual((yield* authorized("2")).status, 201)
      const third = yield* authorized("3")
      assert.deepStrictEqual([third.status, third.body.error.processed], [503, false])
    })))

  it.live("ends at once on SIGTERM with code 0, though a request hangs", () =>
    Effect.promise(async () => {
      const child = spawn(process.execPath, [conditions, main, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] })
      const [line] = await once(child.stdout, "data") as [Buffer]
      const { listening } = JSON.parse(String(line)) as { listening: number }
      const hanging = Effect.runPromise(charge(`http://127.0.0.1:${listening}`, "1", { plan: "hang-after" }))
      while ((await Effect.runPromise(send(`http://127.0.0.1:${listening}/ledger`))).body.charges === 0) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      const began = performance.now()
      child.kill("SIGTERM")
      const [code, signal] = await once(child, "exit")
      assert.deepStrictEqual([code, signal], [0, null])
      assert.isBelow(performance.now() - began, 3000)
      await hanging
    }))

  it.live("does not outlive the one who started it", () =>
    Effect.promise(async () => {
      const child = spawn(process.execPath, [conditions, main, "--port", "0", "--until-stdin-closes"], {
        stdio: ["pipe", "pipe", "inherit"]
      })
      await once(child.stdout, "data")
      child.stdin.destroy()
      const [code] = await once(child, "exit")
      assert.strictEqual(code, 0)
    }))

  it.live("is gone after the scope, and refuses connections once stopped", () =>
    Effect.gen(function*() {
      const { baseUrl, pid } = yield* Effect.scoped(Effect.gen(function*() {
        const sim = yield* start()
        yield* sim.stop
        assert.strictEqual((yield* charge(sim.baseUrl, "1")).status, "cut")
        return sim
      }))
      assert.throws(() => process.kill(pid, 0))
      assert.strictEqual((yield* send(baseUrl)).status, "cut")
    }))

  it.live("says why it does not start", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(start({ faultRate: 2 })))
      assert.match(error.message, /start failed \(ended with code 1: [^]*fault-rate/)
    }))

  it("prints its help", () => {
    const { status, stdout } = spawnSync(process.execPath, [conditions, main, "--help"], { encoding: "utf8" })
    assert.strictEqual(status, 0)
    for (const flag of ["--port", "--seed", "--dedup", "--fault-rate", "--latency"]) assert.include(stdout, flag)
  })
})

const secret = "whsec_for_tests_only"

layer(layerSim(), live)("webhooks", (it) => {
  const signed = (header: unknown, body: string) => {
    const [, seconds = "", tag = ""] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(header)) ?? []
    return {
      seconds: Number(seconds),
      valid: createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex") === tag
    }
  }

  it.effect("are signed, tried again, sent twice where asked, and sent again on demand", () =>
    Effect.gen(function*() {
      const { baseUrl, redeliverWebhook, registerWebhook, webhookStats } = yield* GatewaySim
      const endpoint = yield* receiver([500, 500, 200])
      yield* registerWebhook({ url: endpoint.url, secret })
      yield* charge(baseUrl, "hook-1")
      yield* until(webhookStats, ({ delivered }) => delivered === 1)
      assert.lengthOf(endpoint.received, 3)
      const events = endpoint.received.map(({ body, headers }) => {
        const { seconds, valid } = signed(headers["sim-signature"], body)
        assert.isTrue(valid)
        assert.approximately(seconds, Date.now() / 1000, 30)
        return JSON.parse(body)
      })
      assert.deepInclude(events[0], { id: "evt_00000001", type: "authorize.succeeded" })
      assert.deepInclude(events[0].data, { key: "hook-1", status: "captured", amountMinor: "1250" })
      assert.deepStrictEqual(events[2], events[0])
      yield* redeliverWebhook("evt_00000001")
      yield* until(webhookStats, ({ delivered }) => delivered === 2)
      assert.strictEqual(endpoint.received[3]?.body, endpoint.received[0]?.body)
      assert.include((yield* Effect.flip(redeliverWebhook("evt_9"))).detail, "unknown event")

      const twice = yield* receiver([200])
      yield* registerWebhook({ url: twice.url, secret, deliveries: 2 })
      yield* charge(baseUrl, "hook-2", { body: { token: "tok_declined" } })
      yield* until(webhookStats, ({ delivered }) => delivered === 5)
      assert.lengthOf(twice.received, 2)
      assert.strictEqual(JSON.parse(twice.received[0]?.body ?? "").type, "authorize.refused")
    }))

  it.effect.each(
    [
      ["another host", { url: "http://example.com:80/" }],
      ["a name that only looks local", { url: "http://127.0.0.1.example.com:80/" }],
      ["user info", { url: "http://127.0.0.1:80@example.com/" }],
      ["another scheme", { url: "file:///etc/passwd" }],
      ["a short secret", { secret: "short" }]
    ] as const
  )("refuse %s", ([, wrong]) =>
    Effect.gen(function*() {
      const { registerWebhook } = yield* GatewaySim
      const error = yield* Effect.flip(registerWebhook({ url: "http://127.0.0.1:80/", secret, ...wrong }))
      assert.include(error.detail, "body_malformed")
    }))
})

layer(layerSim(), live)("webhooks about challenges", (it) => {
  it.effect("tell how a challenge was answered, once, and nothing is captured before", () =>
    Effect.gen(function*() {
      const { answerChallenge, baseUrl, registerWebhook } = yield* GatewaySim
      const endpoint = yield* receiver([200])
      yield* registerWebhook({ url: endpoint.url, secret })
      const body = { token: "tok_3ds_hold", merchantReference: "order-1" }
      const authorized = yield* charge(baseUrl, "hook-3ds", { body })
      assert.deepInclude(authorized.body, { status: "authorized", merchantReference: "order-1" })
      const { challenge, id } = authorized.body
      assert.include(challenge.url, id)
      const capture = Effect.map(
        Effect.suspend(() =>
          send(`${baseUrl}/v1/authorizations/${id}/capture`, {
            method: "POST",
            body: {},
            headers: { "idempotency-key": newKey() }
          })
        ),
        ({ body }) => body.error?.code ?? body.status
      )
      assert.strictEqual(yield* capture, "authentication_pending")
      yield* answerChallenge({ id: challenge.id, answer: "passed" })
      assert.include(
        (yield* Effect.flip(answerChallenge({ id: challenge.id, answer: "failed" }))).detail,
        "no_open_challenge"
      )
      const events = yield* until(
        Effect.sync(() => endpoint.received.map(({ body }) => JSON.parse(body))),
        (events) => events.some(({ type }) => type === "challenge.passed")
      )
      assert.deepInclude(events.find(({ type }) => type === "challenge.passed").data, {
        status: "passed",
        transactionId: id,
        merchantReference: "order-1"
      })
      assert.strictEqual(yield* capture, "captured")
    }))
})

layer(layerSim(), live)("webhooks that nobody takes", (it) => {
  it.effect("are given up after five attempts", () =>
    Effect.gen(function*() {
      const { baseUrl, registerWebhook, webhookStats } = yield* GatewaySim
      const endpoint = yield* receiver([500])
      yield* registerWebhook({ url: endpoint.url, secret })
      yield* charge(baseUrl, "hook-3")
      const stats = yield* until(webhookStats, ({ pending }) => pending === 0)
      assert.deepStrictEqual(stats, { pending: 0, delivered: 0, failedAttempts: 5, givenUp: 1, dropped: 0 })
      assert.lengthOf(endpoint.received, 5)
    }))
})

describe("plans", () => {
  it("are read as written", () => {
    const faults = Result.getOrThrow(parse("lost-reply;times=2, delay=300 ,decline=expired_card"))
    assert.deepStrictEqual(faults, [
      { name: "lost-reply" },
      { name: "lost-reply" },
      { name: "delay", value: 300 },
      { name: "decline", code: "expired_card" }
    ])
    assert.deepStrictEqual(faults.map(isBefore), [false, false, false, false])
  })

  it.each([
    "",
    "explode",
    "delay",
    "delay=",
    "delay=-1",
    "delay=600001",
    "delay=1e3",
    "none=1",
    "decline",
    "decline=A B",
    "none;times=0",
    "none;times=x",
    "none;often",
    "none;times=1;times=2",
    "none;times=9999,none;times=9999",
    "none,"
  ])("refuses %j", (plan) => {
    assert.isTrue(Result.isFailure(parse(plan)))
  })
})
