/** What `payctl idempotency` does on any store: the cases, and the records that they are about. */
import { Effect, type Layer, Schema } from "effect"
import { Idempotency, IdempotencyStore } from "effect-payments"
import { assert, beforeAll, describe, it } from "vitest"
import { payctlHere, type Run } from "./payctl.ts"

/** In every key of a client, and so in nothing that is printed. */
const secret = "ck-4711-nobody-may-see"

const scope = (operation: string) => Idempotency.Scope.make({ tenant: "acme", operation, version: 1 })
const idOf = (operation: string, name: string) =>
  IdempotencyStore.recordId(scope(operation), Idempotency.Key.make(`${secret}-${name}`))

/** One record in each state, each of an operation that is named like it; `page` has seven. */
const seed = Effect.gen(function*() {
  const store = yield* IdempotencyStore.IdempotencyStore
  const claim = (operation: string, name = "only", leaseMillis = 3_600_000) =>
    Effect.map(
      store.claim({
        ...idOf(operation, name),
        fingerprint: "v1:f",
        owner: `${operation}-${name}`,
        leaseMillis,
        canResolve: true,
        attemptsMax: 2
      }),
      ({ record }) => record
    )
  const end = (operation: string, completion: IdempotencyStore.CompleteRequest["completion"], name = "only") =>
    Effect.flatMap(claim(operation, name), (record) => store.complete({ ...record, completion }))
  const ttlMillis = 3_600_000
  yield* end("succeeded", { _tag: "Succeeded", result: `{"id":"ch_1","note":"4111 1111 1111 1111"}`, ttlMillis })
  yield* end("sealed", { _tag: "Succeeded", result: "s1.2026-11.AAAAAAAAAAAA", ttlMillis })
  yield* end("refused", { _tag: "Refused", result: `{"_tag":"InsufficientFunds"}`, ttlMillis })
  yield* Effect.flatMap(claim("vacant"), (record) => store.release({ ...record, ttlMillis }))
  yield* claim("claimed")
  yield* claim("lapsed", "only", 1)
  for (const name of ["doubt", "again", "happened", "early"]) {
    yield* end("doubt", { _tag: "Indeterminate", ran: name === "early", counted: true, attemptsMax: 9 }, name)
  }
  yield* end("sealed", { _tag: "Indeterminate", ran: false, counted: true, attemptsMax: 9 }, "doubt")
  yield* end("parked", { _tag: "Indeterminate", ran: false, counted: true, attemptsMax: 1 })
  for (let i = 0; i < 7; i++) yield* end("page", { _tag: "Refused", result: "1", ttlMillis }, `${i}`)
})

const Record = Schema.Struct({
  reference: Schema.String,
  operation: Schema.String,
  state: Schema.String,
  stuck: Schema.Boolean,
  fence: Schema.Int,
  result: Schema.String
})
const Page = Schema.fromJsonString(
  Schema.Struct({ records: Schema.Array(Record), next: Schema.NullOr(Schema.String), now: Schema.String })
)
const Details = Schema.fromJsonString(Schema.Struct({
  ...Record.fields,
  fingerprint: Schema.String,
  downstreamKeys: Schema.Record(Schema.String, Schema.String),
  answer: Schema.optionalKey(Schema.Unknown)
}))
const Done = Schema.fromJsonString(Schema.Struct({
  outcome: Schema.String,
  evidence: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  record: Schema.NullOr(Record)
}))

/** `flags` and `env` name the store; `layer` is the same store for who seeds it. */
export const idempotencyCommands = <E>(
  store: string,
  options: () => {
    readonly flags?: ReadonlyArray<string>
    readonly env?: Readonly<Record<string, string>>
    readonly layer: Layer.Layer<IdempotencyStore.IdempotencyStore, E>
    /** What must not be printed besides, such as a password. */
    readonly hidden?: string
  }
) =>
  describe(`payctl idempotency on ${store}`, () => {
    const run = async (
      args: ReadonlyArray<string>,
      input?: string,
      more?: Readonly<Record<string, string>>
    ): Promise<Run> => {
      const { env, flags = [], hidden } = options()
      const [command = "", ...rest] = args
      const ran = await payctlHere(["idempotency", command, ...flags, ...rest], {
        env: { ...env, ...more },
        ...input === undefined ? {} : { input }
      })
      assert.notInclude(`${ran.stdout}${ran.stderr}`, secret, "a key of a client")
      assert.notInclude(`${ran.stdout}${ran.stderr}`, "1111 1111", "a card number")
      if (hidden !== undefined) assert.notInclude(`${ran.stdout}${ran.stderr}`, hidden, "a password")
      return ran
    }
    const json = async <A>(
      schema: Schema.Codec<A, string>,
      args: ReadonlyArray<string>,
      input?: string
    ): Promise<A> => {
      const { status, stderr, stdout } = await run([...args, "--json"], input)
      assert.deepStrictEqual([status, stderr], [0, ""], args.join(" "))
      return Schema.decodeUnknownSync(schema)(stdout)
    }
    const inspect = (...args: ReadonlyArray<string>) => json(Details, ["inspect", ...args])
    const listed = (...args: ReadonlyArray<string>) => json(Page, ["list", ...args])
    const only = async (operation: string) => {
      const [record] = (await listed("--operation", operation)).records
      assert.isDefined(record)
      return record
    }
    const byKey = (operation: string, name: string) =>
      json(Details, [
        "inspect",
        "--tenant=acme",
        `--operation=${operation}`,
        "--scope-version=1",
        "--key-file=-"
      ], `${secret}-${name}\n`)

    beforeAll(() => Effect.runPromise(Effect.provide(seed, options().layer)), 60_000)

    it("lists all in pages that hold each record once", async () => {
      const { next, records } = await listed("--limit", "1000")
      assert.strictEqual(next, null)
      assert.strictEqual(records.length, 19)
      assert.strictEqual(new Set(records.map(({ reference }) => reference)).size, 19)
      const paged: Array<string> = []
      let after: ReadonlyArray<string> = []
      for (let page = 0; page < 3; page++) {
        const { next, records } = await listed("--tenant", "acme", "--operation", "page", "--limit", "3", ...after)
        paged.push(...records.map(({ reference }) => reference))
        assert.strictEqual(next, page < 2 ? records[2]?.reference : null)
        after = ["--after", next ?? ""]
      }
      const all = records.filter(({ operation }) => operation === "page")
      assert.deepStrictEqual(paged, all.map(({ reference }) => reference))
    })

    it("keeps to state, stuck, age and scope", async () => {
      const of = async (...args: ReadonlyArray<string>) =>
        (await listed(...args)).records.map(({ operation }) => operation).sort()
      assert.deepStrictEqual(await of("--state", "Parked"), ["parked"])
      assert.deepStrictEqual(await of("--stuck"), ["doubt", "doubt", "doubt", "doubt", "lapsed", "parked", "sealed"])
      assert.deepStrictEqual(await of("--older-than", "1d"), [])
      assert.strictEqual((await of("--older-than", "0s", "--limit", "1000")).length, 19)
      assert.deepStrictEqual(await of("--operation", "parked", "--scope-version", "1"), ["parked"])
      assert.deepStrictEqual(await of("--operation", "parked", "--scope-version", "2"), [])
      assert.deepStrictEqual(await of("--tenant", "acm"), [])
    })

    it("prints a table for people", async () => {
      const { status, stdout } = await run(["list", "--stuck", "--limit", "6"])
      assert.strictEqual(status, 0)
      const lines = stdout.trimEnd().split("\n")
      assert.match(lines[0] ?? "", /^REFERENCE +STATE +TENANT +OPERATION +CHANGED +FENCE +ATTEMPT$/)
      assert.strictEqual(lines.length, 8)
      assert.match(lines[1] ?? "", /^rec_[0-9a-f]{24} +Indeterminate +acme +doubt v1 +\d+s ago +\d+ +1$/)
      assert.match(stdout, /Claimed, lapsed/)
      assert.match(lines[7] ?? "", /^\.\.\. and more: --after rec_[0-9a-f]{24}$/)
    })

    it("inspects by reference, by downstream key and by the client's key", async () => {
      const { reference } = await only("succeeded")
      const record = await inspect(reference)
      assert.strictEqual(record.state, "Succeeded")
      assert.notProperty(record, "answer")
      assert.deepStrictEqual(await byKey("succeeded", "only"), record)
      const sent = (await inspect(reference, "--phase", "capture", "--phase", "authorize")).downstreamKeys
      assert.deepStrictEqual(Object.keys(sent), ["capture", "authorize"])
      assert.match(sent["capture"] ?? "", /^ep1_[0-9a-f]{40}$/)
      assert.deepStrictEqual((await inspect(sent["capture"] ?? "", "--phase", "capture")).reference, reference)
      assert.strictEqual((await run(["inspect", sent["capture"] ?? ""])).status, 1)
    })

    it("prints a stored answer when asked, without card data, and leaves a sealed one sealed", async () => {
      const answer = (await inspect((await only("succeeded")).reference, "--result")).answer
      assert.deepStrictEqual(answer, { id: "ch_1", note: "[PAN ****1111]" })
      const sealed = await byKey("sealed", "only")
      assert.strictEqual(sealed.result, "sealed")
      assert.deepStrictEqual((await inspect(sealed.reference, "--result")).answer, { sealedUnder: "2026-11" })
      const { stdout } = await run(["inspect", sealed.reference, "--result"])
      assert.notInclude(stdout, "AAAA")
    })

    it("ends with 1 where there is no such record, and with 2 on names that are none", async () => {
      const { status, stderr } = await run(["inspect", "rec_000000000000000000000000"])
      assert.strictEqual(status, 1)
      assert.include(stderr, "holds no such record")
      // It is not repeated: it may be a key.
      assert.strictEqual((await run(["inspect", `${secret}-x`])).status, 2)
      assert.strictEqual((await run(["list", "--after", "page"])).status, 2)
      assert.strictEqual((await run(["inspect"])).status, 2)
    })

    it("settles what surely did not happen, and may be sent again", async () => {
      const { fence, reference } = await byKey("doubt", "again")
      const args = ["resolve", reference, "--as", "never-happened", "--fence", `${fence}`, "--evidence", "asked; ada"]
      const refused = await run([...args, "--settle", "0s"])
      assert.strictEqual(refused.status, 2)
      assert.include(refused.stderr, "Say --yes")
      assert.strictEqual((await byKey("doubt", "again")).fence, fence)
      const first = await json(Done, [...args, "--settle", "0s", "--yes"])
      assert.deepStrictEqual([first.outcome, first.evidence, first.record?.state], ["Settled", "asked; ada", "Vacant"])
      assert.deepStrictEqual(await json(Done, [...args, "--yes"]), first)
    })

    it("does not believe in \"never\" while a request may be under way", async () => {
      const { fence, reference } = await byKey("doubt", "early")
      const args = ["resolve", reference, "--as", "never-happened", "--fence", `${fence}`, "--evidence", "x", "--yes"]
      const { status, stderr, stdout } = await run(args)
      assert.deepStrictEqual([status, stdout], [1, ""])
      assert.include(stderr, "may still be under way")
      assert.strictEqual((await byKey("doubt", "early")).state, "Indeterminate")
    })

    it("settles with an answer that later calls get, in whatever spaces it comes", async () => {
      const { fence, reference } = await byKey("doubt", "happened")
      const args = ["resolve", reference, "--as", "succeeded", "--fence", `${fence}`, "--evidence", "PSP 8815", "--yes"]
      assert.strictEqual((await run(args)).status, 2)
      assert.strictEqual((await run([...args, "--result-file", "-"], "{")).status, 2)
      assert.include((await run([...args, "--result-file", "-"], `["4111 1111 1111 1111"]`)).stderr, "card data")
      const done = await json(Done, [...args, "--result-file", "-"], `{ "id": "ch_2" }`)
      assert.deepStrictEqual([done.outcome, done.record?.state], ["Settled", "Succeeded"])
      assert.deepStrictEqual((await inspect(reference, "--result")).answer, { id: "ch_2" })
      assert.deepStrictEqual(await json(Done, [...args, "--result-file", "-"], `{"id":"ch_2"}\n`), done)
      const other = await run([...args, "--result-file", "-"], `{"id":"ch_3"}`)
      assert.strictEqual(other.status, 1)
      assert.include(other.stderr, "it is Succeeded already")
    })

    it("settles only what was looked at", async () => {
      const { fence, reference } = await only("parked")
      const args = ["resolve", reference, "--as", "never-happened", "--settle", "0s", "--evidence", "x", "--yes"]
      const { status, stderr } = await run([...args, "--fence", `${fence - 1}`])
      assert.strictEqual(status, 1)
      assert.include(stderr, `it has fence ${fence} and not ${fence - 1}`)
      const claimed = await only("claimed")
      const settle = ["--as=never-happened", "--settle=0s", "--evidence=x", "--yes"]
      const inFlight = await run(["resolve", claimed.reference, `--fence=${claimed.fence}`, ...settle])
      assert.strictEqual(inFlight.status, 1)
      assert.include(inFlight.stderr, "its owner works on it")
      assert.strictEqual((await only("parked")).state, "Parked")
    })

    it("writes no plain answer among sealed ones, and a sealed one with the key", async () => {
      const { fence, reference } = await byKey("sealed", "doubt")
      const args = ["resolve", reference, "--as", "refused", "--fence", `${fence}`, "--evidence", "x", "--yes"]
      const plain = await run([...args, "--result-file", "-"], "{}")
      assert.strictEqual(plain.status, 2)
      assert.include(plain.stderr, "PAYCTL_SEALING_KEY")
      assert.strictEqual((await byKey("sealed", "doubt")).state, "Indeterminate")
      const key = Buffer.alloc(32, 7).toString("base64")
      for (const time of ["first", "again"]) {
        const { status, stderr, stdout } = await run([...args, "--result-file", "-"], "{}", {
          PAYCTL_SEALING_KEY: `2026-11:${key}`
        })
        assert.deepStrictEqual([status, stderr], [0, ""], time)
        assert.notInclude(stdout, key)
      }
      assert.deepStrictEqual((await inspect(reference, "--result")).answer, { sealedUnder: "2026-11" })
    })

    it("evicts what is finished or free, and may be sent again", async () => {
      const { reference } = await only("refused")
      assert.strictEqual((await run(["evict", reference, "--yes"])).status, 2)
      assert.include((await run(["evict", reference, "--reason", "x"])).stderr, "Say --yes")
      assert.strictEqual((await only("refused")).reference, reference)
      const done = await json(Done, ["evict", reference, "--reason", "a wrong rule", "--yes"])
      assert.deepStrictEqual([done.outcome, done.reason], ["Evicted", "a wrong rule"])
      const again = await json(Done, ["evict", reference, "--reason", "a wrong rule", "--yes"])
      assert.deepStrictEqual([again.outcome, again.record], ["Absent", null])
      assert.strictEqual(
        (await json(Done, ["evict", (await only("vacant")).reference, "--reason", "x", "--yes"])).outcome,
        "Evicted"
      )
    })

    it("evicts nothing that is in flight or in doubt, and says why", async () => {
      for (
        const [operation, why] of [
          ["claimed", /is in flight: its owner works on it for another 5\dm.* Wait/],
          [
            "lapsed",
            /is in doubt \(Claimed, lapsed\): .*ep1_[0-9a-f]{40} \(authorize\), then: payctl idempotency resolve/
          ],
          ["parked", /is in doubt \(Parked\)/]
        ] as const
      ) {
        const { reference } = await only(operation)
        const { status, stderr, stdout } = await run(["evict", reference, "--reason", "x", "--yes"])
        assert.deepStrictEqual([status, stdout], [1, ""])
        assert.match(stderr, why)
        assert.strictEqual((await only(operation)).reference, reference)
      }
    })
  })
