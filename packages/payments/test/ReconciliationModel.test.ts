// Reconciliation against models that are too slow or too narrow to use: every way to pair two records, and days in which
// each discrepancy was planted.
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Equal, Schema } from "effect"
import { Money, Reconciliation } from "effect-payments"

type Rec = Reconciliation.TransactionRecord
type Kind = Reconciliation.Kind

const Id = Schema.Literals(["a", "b", "c", "d", "e"])
const Text = Schema.Literals(["captured", "settled", "voided"])
const Cents = Schema.Int.check(Schema.isBetween({ minimum: -2, maximum: 3 }))

/** Few values of everything, so that all of it collides. */
const Plan = Schema.Struct({
  id: Id,
  cents: Cents,
  currency: Schema.Literals(["USD", "USD", "USD", "EUR", "JPY"]),
  status: Text,
  day: Schema.Literals([1, 1, 1, 2, 4]),
  fee: Schema.Literals([-1, -1, 0, 1, 2]),
  kind: Schema.Literals(["charge", "refund", "unsaid"]),
  parent: Schema.Literals(["a", "b", "old", "nowhere", "unsaid"]),
  /** Where it stands when the sides are shuffled. */
  turn: Schema.Int
})
type Plan = typeof Plan.Type

const makeRecord = ({ cents, currency, day, fee, id, kind, parent, status }: Plan): Rec => ({
  transactionId: id,
  money: Money.fromMinorUnits(currency, BigInt(cents)),
  status,
  occurredAt: DateTime.makeUnsafe(`2026-01-0${day}T00:00:00Z`),
  ...fee < 0 ? {} : { fee: Money.fromMinorUnits("USD", BigInt(fee)) },
  ...kind === "unsaid" ? {} : { kind },
  ...parent === "unsaid" ? {} : { parent }
})

const policy: Reconciliation.Policy = {
  tolerance: { USD: Money.makeUnsafe("USD", "0.01"), JPY: Money.makeUnsafe("JPY", "2") },
  window: "1 day",
  statusAliases: { settled: "captured" },
  knownCharges: new Set(["old"])
}

/** The kinds of a pair, from the plans alone. */
const pairKinds = (a: Plan, b: Plan): ReadonlyArray<Kind> => {
  const same = a.currency === b.currency
  const tolerance = a.currency === "USD" ? 1 : a.currency === "JPY" ? 2 : 0
  const word = (status: string) => status === "settled" ? "captured" : status
  const kinds: Array<Kind> = []
  if (same && Math.abs(a.cents - b.cents) > tolerance) kinds.push("AmountMismatch")
  if (!same) kinds.push("CurrencyMismatch")
  const flips = a.kind !== "unsaid" && b.kind !== "unsaid" && a.kind !== b.kind
  if (word(a.status) !== word(b.status) || flips) kinds.push("StatusMismatch")
  if (same && a.fee >= 0 && b.fee >= 0 && a.fee !== b.fee) kinds.push("FeeMismatch")
  if (Math.abs(a.day - b.day) > 1) kinds.push("DateDrift")
  return kinds
}

const weights: { readonly [K in Kind]?: number } = {
  CurrencyMismatch: 16,
  AmountMismatch: 8,
  StatusMismatch: 4,
  FeeMismatch: 2,
  DateDrift: 1
}
const weigh = (kinds: ReadonlyArray<Kind>) => kinds.reduce((sum, kind) => sum + (weights[kind] ?? 0), 0)

/** What each id must be reported for, without refunds: which copy is paired decides on those, if several are as good. */
const model = (ours: ReadonlyArray<Plan>, theirs: ReadonlyArray<Plan>): ReadonlyArray<string> =>
  Id.literals.flatMap((id) => {
    const a = ours.filter((x) => x.id === id)
    const b = theirs.filter((x) => x.id === id)
    const copies = (n: number) => Array.from({ length: Math.max(0, n - 1) }, () => `${id} Duplicate`)
    const all = a.flatMap((x) => b.map((y) => pairKinds(x, y))).sort((x, y) => weigh(x) - weigh(y))
    const first = a.length === 0 && b.length === 0
      ? []
      : a.length === 0
      ? ["MissingInternal"]
      : b.length === 0
      ? ["MissingGateway"]
      : all[0] ?? []
    return [...first.map((kind) => `${id} ${kind}`), ...copies(a.length), ...copies(b.length)]
  })

const shown = (report: Reconciliation.Report) => report.discrepancies.map((x) => `${x.transactionId} ${x._tag}`)
const shuffled = (plans: ReadonlyArray<Plan>) => plans.toSorted((a, b) => a.turn - b.turn)
const runs = { arbitrary: { runs: 500 } }
const Plans = Schema.Array(Plan).check(Schema.isMaxLength(14))

describe("Reconciliation against a model", () => {
  it.effect.prop(
    "finds what every way of pairing finds, and nothing else",
    [Plans, Plans],
    ([ours, theirs]) =>
      Effect.sync(() => {
        const report = Reconciliation.reconcile(ours.map(makeRecord), theirs.map(makeRecord), {
          ...policy,
          orphanRefunds: false
        })
        assert.deepStrictEqual(shown(report), model(ours, theirs))
      }),
    runs
  )

  it.effect.prop("traces each refund of the item it stands in", [Plans, Plans], ([ours, theirs]) =>
    Effect.sync(() => {
      const report = Reconciliation.reconcile(ours.map(makeRecord), theirs.map(makeRecord), policy)
      const charges = new Set([...ours, ...theirs].filter((x) => x.kind !== "refund").map((x) => x.id as string))
      charges.add("old")
      const orphans = report.discrepancies.filter((x) => x._tag === "OrphanRefund")
      for (const { gateway, internal, transactionId } of orphans) {
        assert.isTrue(internal?.kind === "refund" || gateway?.kind === "refund")
        const named = [internal?.parent, gateway?.parent].filter((x) =>
          x !== undefined && x !== transactionId && charges.has(x)
        )
        assert.isTrue(named.length === 0 || new Set(named).size === 2)
      }
      const once = (plans: ReadonlyArray<Plan>, id: string) => plans.filter((x) => x.id === id)
      for (const id of Id.literals) {
        const [a, ...more] = once(ours, id)
        const [b, ...others] = once(theirs, id)
        if (more.length > 0 || others.length > 0 || (a?.kind !== "refund" && b?.kind !== "refund")) continue
        const named = new Set([a?.parent, b?.parent].filter((x) => x !== undefined && x !== id && charges.has(x)))
        assert.strictEqual(orphans.some((x) => x.transactionId === id), named.size !== 1)
      }
    }), runs)

  it.effect.prop("gives one report for every order", [Plans, Plans], ([ours, theirs]) =>
    Effect.sync(() => {
      const report = Reconciliation.reconcile(ours.map(makeRecord), theirs.map(makeRecord), policy)
      const again = Reconciliation.reconcile(shuffled(ours).map(makeRecord), shuffled(theirs).map(makeRecord), policy)
      assert.strictEqual(JSON.stringify(Reconciliation.toJson(again)), JSON.stringify(Reconciliation.toJson(report)))
      assert.isTrue(Equal.equals(again.accounts, report.accounts))
    }), runs)

  it.effect.prop("sees the same from the other side", [Plans, Plans], ([ours, theirs]) =>
    Effect.sync(() => {
      const report = Reconciliation.reconcile(ours.map(makeRecord), theirs.map(makeRecord), policy)
      const mirror = Reconciliation.reconcile(theirs.map(makeRecord), ours.map(makeRecord), policy)
      const { MissingGateway = 0, MissingInternal = 0, OrphanRefund: _, ...rest } = report.byKind
      const { OrphanRefund: __, ...turned } = mirror.byKind
      assert.strictEqual(mirror.total, report.total)
      const expected = {
        ...rest,
        ...MissingInternal === 0 ? {} : { MissingGateway: MissingInternal },
        ...MissingGateway === 0 ? {} : { MissingInternal: MissingGateway }
      }
      assert.isTrue(Equal.equals(turned, expected))
    }), runs)

  it.effect.prop(
    "uses each record once, and accounts for all of them",
    [Plans, Plans],
    ([ours, theirs]) =>
      Effect.sync(() => {
        const sides = { internal: ours.map(makeRecord), gateway: theirs.map(makeRecord) }
        const report = Reconciliation.reconcile(sides.internal, sides.gateway, policy)
        assert.isTrue(Reconciliation.isConserved(report))
        assert.strictEqual(Object.values(report.byKind).reduce((sum, n) => sum + n, 0), report.discrepancies.length)
        // Records are told apart by identity: each stands in one item, with one partner.
        const items = new Map<Rec, Rec | undefined>()
        const stand = (record: Rec | undefined, partner: Rec | undefined) => {
          if (record === undefined) return
          if (items.has(record)) assert.strictEqual(items.get(record), partner)
          items.set(record, partner)
        }
        const copies = new Set<Rec>()
        for (const x of report.discrepancies) {
          if (x._tag === "Duplicate") {
            assert.isFalse(copies.has(x.record))
            copies.add(x.record)
            assert.isFalse(items.has(x.record))
            continue
          }
          const internal = "internal" in x ? x.internal : undefined
          const gateway = "gateway" in x ? x.gateway : undefined
          stand(internal, gateway)
          stand(gateway, internal)
        }
        for (const record of items.keys()) assert.isFalse(copies.has(record))
        for (const side of ["internal", "gateway"] as const) {
          const records = sides[side]
          const reported = records.filter((record) => items.has(record) || copies.has(record))
          for (const currency of ["USD", "EUR", "JPY"] as const) {
            const account = report.accounts.find((x) => x.side === side && x.currency === currency)
            const of = (some: ReadonlyArray<Rec>) => some.filter((record) => record.money.currency === currency)
            const cents = (some: ReadonlyArray<Rec>) =>
              of(some).reduce((sum, { money }) => sum + Money.toMinorUnitsUnsafe(money), 0n)
            assert.strictEqual(account?.read.records ?? 0, of(records).length)
            assert.strictEqual(account?.reported.records ?? 0, of(reported).length)
            assert.strictEqual(account === undefined ? 0n : Money.toMinorUnitsUnsafe(account.read.sum), cents(records))
            assert.strictEqual(
              account === undefined ? 0n : Money.toMinorUnitsUnsafe(account.reported.sum),
              cents(reported)
            )
          }
          const matched = report.accounts.filter((x) => x.side === side).reduce((sum, x) => sum + x.matched.records, 0)
          assert.strictEqual(matched, report.matched)
        }
      }),
    runs
  )
})

/** Numbers that look random, from a seed. */
const numbersFrom = (seed: number) => {
  let state = seed >>> 0
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 4_294_967_296 * below)
  }
}

const shuffle = <A>(items: ReadonlyArray<A>, next: (below: number) => number): ReadonlyArray<A> => {
  const all = items.slice()
  for (let i = all.length - 1; i > 0; i--) {
    const j = next(i + 1)
    const [a, b] = [all[i], all[j]]
    if (a !== undefined && b !== undefined) [all[i], all[j]] = [b, a]
  }
  return all
}

const count = 4000

/** A day of transactions on which both sides agree, and what was then done to it. */
const plantedDay = (seed: number) => {
  const next = numbersFrom(seed)
  const currencies = ["USD", "EUR", "JPY", "KWD"] as const
  const statuses = ["authorized", "captured", "voided", "failed"] as const
  const internal: Array<Rec> = []
  const gateway: Array<Rec> = []
  const planted = new Set<string>()
  const charges: Array<string> = []
  const plant = (kind: Kind, id: string) => planted.add(`${id} ${kind}`)
  const kinds = Reconciliation.kinds
  for (let i = 0; i < count; i++) {
    const currency = currencies[next(4)] ?? "USD"
    const money = (minor: number) => Money.fromMinorUnits(currency, BigInt(minor))
    const minor = 100 + next(1_000_000)
    const at = 1_769_860_000_000 + next(80_000_000)
    const id = `tx_${next(1_000_000_000)}_${i}`
    const kind = next(20) === 0 ? kinds[next(kinds.length)] : undefined
    const parent = kind === undefined && i % 7 === 0 ? charges[next(charges.length)] : undefined
    if (kind !== undefined) plant(kind, id)
    else if (parent === undefined) charges.push(id)
    const ours: Rec = {
      transactionId: id,
      money: money(minor),
      status: statuses[next(4)] ?? "captured",
      occurredAt: DateTime.makeUnsafe(at),
      fee: money(next(100)),
      ...parent === undefined ? { kind: "charge" } : { kind: "refund", parent }
    }
    const theirs: Rec = { ...ours, occurredAt: DateTime.makeUnsafe(at + next(3_600_000)) }
    if (kind !== "MissingInternal") internal.push(ours)
    switch (kind) {
      case "MissingGateway":
        break
      case "AmountMismatch":
        gateway.push({ ...theirs, money: money(minor + (next(2) === 0 ? 2 : -2)) })
        break
      case "CurrencyMismatch":
        gateway.push({ ...theirs, money: Money.fromMinorUnits(currency === "USD" ? "EUR" : "USD", BigInt(minor)) })
        break
      case "StatusMismatch":
        gateway.push({ ...theirs, status: "disputed" })
        break
      case "Duplicate":
        ;(next(2) === 0 ? internal : gateway).push({ ...theirs, status: "copied" })
        gateway.push(theirs)
        break
      case "FeeMismatch":
        gateway.push({ ...theirs, fee: money(101 + next(50)) })
        break
      case "DateDrift":
        gateway.push({ ...theirs, occurredAt: DateTime.makeUnsafe(at + (next(2) === 0 ? 1 : -1) * 86_400_001) })
        break
      case "OrphanRefund": {
        const orphan: Rec = { ...theirs, kind: "refund", parent: `lost_${i}` }
        internal.pop()
        internal.push(orphan)
        gateway.push(orphan)
        break
      }
      default:
        // Within the tolerance of a minor unit.
        gateway.push({ ...theirs, money: money(minor + next(2)) })
    }
  }
  const tolerance = {
    USD: Money.fromMinorUnits("USD", 1n),
    EUR: Money.fromMinorUnits("EUR", 1n),
    JPY: Money.fromMinorUnits("JPY", 1n),
    KWD: Money.fromMinorUnits("KWD", 1n)
  }
  return { internal: shuffle(internal, next), gateway: shuffle(gateway, next), planted, policy: { tolerance } }
}

describe("Reconciliation of a day in which every kind was planted", () => {
  for (const seed of [1, 2, 42, 4711]) {
    it(`finds all of it and nothing else (seed ${seed})`, () => {
      const day = plantedDay(seed)
      const report = Reconciliation.reconcile(day.internal, day.gateway, day.policy)
      const found = new Set(shown(report))
      assert.strictEqual(found.size, report.discrepancies.length)
      assert.deepStrictEqual([...found].filter((x) => !day.planted.has(x)), [], "precision")
      assert.deepStrictEqual([...day.planted].filter((x) => !found.has(x)), [], "recall")
      for (const kind of Reconciliation.kinds) assert.isAbove(report.byKind[kind] ?? 0, 5, kind)
      assert.isTrue(Reconciliation.isConserved(report))
      const duplicates = report.byKind.Duplicate ?? 0
      assert.strictEqual(report.total, count + duplicates)
      assert.strictEqual(report.matched, count - day.planted.size + duplicates)
    })
  }
})
