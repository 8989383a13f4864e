import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Chunk, Duration, Effect, HashSet, Layer, Option, Result, Schema } from "effect"
import { Idempotency, IdempotencyStore, PaymentError } from "effect-payments"
import { createHash } from "node:crypto"
import { codecOf } from "../../src/internal/stack/canonical.ts"

const limit = 262_144
const canonical = <P>(schema: Schema.Codec<P, unknown>, payload: P): string =>
  Result.getOrThrow(codecOf(schema).canonical(payload, limit))
const faultOf = <P>(schema: Schema.Codec<P, unknown>, payload: P, limitBytes = limit): string =>
  Result.getOrThrow(Result.flip(codecOf(schema).canonical(payload, limitBytes)))

// --- values

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json | undefined }

/** Few of each, so that equal ones and near misses come up often. */
const texts = [
  "",
  "a",
  "A",
  "\u00e9",
  "e\u0301",
  "\u20ac",
  "\ud83d\ude00",
  "\ufb33",
  "1",
  "\r",
  "\"",
  "\u007f"
] as const
const Text = Schema.Literals([...texts, "\\"])
// None ends in a backslash: JSON.parse of V8 13.6 (Node 24) then takes a later name that ends in an escape for it.
const Name = Schema.Literals(texts)
const Num = Schema.Literals([0, -0, 1, -1, 0.1, 1e21, 1e-7, 123456789.5, Number.MAX_SAFE_INTEGER, 5e-324])
const WellFormed = Schema.String.check(Schema.makeFilter((text) => text.isWellFormed()))
const leaf = Schema.Union([Schema.Null, Schema.Boolean, Num, Text, Schema.Finite, WellFormed])
const levels = (depth: number): Schema.Codec<Json, unknown> =>
  depth === 0
    ? leaf
    : Schema.Union([
      leaf,
      Schema.Array(levels(depth - 1)).check(Schema.isMaxLength(4)),
      Schema.Record(Name, Schema.optional(levels(depth - 1)))
    ]) as never
const Value = levels(3)
const anything = Schema.Unknown as Schema.Codec<Json, unknown>

/** Whether two values say the same: the order of members, absent ones and the sign of zero do not count. */
const isSame = (a: Json | undefined, b: Json | undefined): boolean => {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]))
  if (typeof a === "object" && a !== null) {
    if (typeof b !== "object" || b === null || Array.isArray(b)) return false
    const [left, right] = [a, b].map((value) => Object.entries(value).filter(([, item]) => item !== undefined))
    return left?.length === right?.length &&
      left?.every(([key, item]) => isSame(item, (b as { readonly [key: string]: Json })[key])) === true
  }
  return a === b
}

/** The same with its members in another order and absent ones spelled out. */
const rearranged = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(rearranged)
  if (typeof value !== "object" || value === null) return value === 0 ? -0 : value
  const entries = Object.entries(value).map(([key, item]) =>
    [key, item === undefined ? item : rearranged(item)] as const
  )
  return Object.fromEntries([
    ...entries.toReversed(),
    ...entries.some(([key]) => key === "absent") ? [] : [["absent", undefined]]
  ])
}

const pairs = Arbitrary.all([Arbitrary.schema(Value), Arbitrary.schema(Value)])

describe("canonical payloads", () => {
  it.prop("are equal for equal values, in whatever order their members come", [Value], ([value]) => {
    assert.strictEqual(canonical(anything, rearranged(value)), canonical(anything, value))
  }, { arbitrary: { runs: 2000 } })

  it.prop("are equal for two values if and only if the values are", [pairs], ([[a, b]]) => {
    assert.strictEqual(canonical(anything, a) === canonical(anything, b), isSame(a, b))
  }, { arbitrary: { runs: 4000 } })

  it.prop("differ where one leaf does", [Arbitrary.schema(Schema.Array(leaf)), leaf, leaf], ([items, a, b]) => {
    const [left, right] = [a, b].map((leaf) => canonical(anything, { items: [...items, leaf] }))
    assert.strictEqual(left === right, isSame(a, b))
  }, { arbitrary: { runs: 2000 } })

  it.prop("are JSON of the value", [Value], ([value]) => {
    assert.isTrue(isSame(JSON.parse(canonical(anything, value)) as Json, value))
  }, { arbitrary: { runs: 2000 } })

  it.prop("write a number as JSON.stringify does, which RFC 8785 takes over", [Schema.Finite], ([number]) => {
    assert.strictEqual(canonical(Schema.Number, number), JSON.stringify(number))
  }, { arbitrary: { runs: 2000 } })
})

describe("RFC 8785", () => {
  // Appendix B: the bits of a double, and its text.
  const numbers: ReadonlyArray<readonly [string, string]> = [
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["ffefffffffffffff", "-1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["c340000000000000", "-9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["44b52d02c7e14af7", "1.0000000000000001e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["41b3de4355555554", "333333333.33333325"],
    ["41b3de4355555555", "333333333.3333333"],
    ["41b3de4355555556", "333333333.3333334"],
    ["41b3de4355555557", "333333333.33333343"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"]
  ]
  it.effect.each(numbers)("appendix B: %s is %s", ([bits, text]) =>
    Effect.sync(() => {
      assert.strictEqual(canonical(Schema.Number, Buffer.from(bits, "hex").readDoubleBE()), text)
    }))

  it("appendix B: NaN and the infinities have no text", () => {
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      assert.strictEqual(faultOf(Schema.Number, number), "not a finite number")
    }
  })

  it("section 3.2.2: the example in its canonical form", () => {
    assert.strictEqual(
      canonical(anything, {
        numbers: [Number("333333333.33333329"), 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
        literals: [null, true, false]
      }),
      "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"\u20ac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    )
  })

  it("section 3.2.3: members are sorted by UTF-16 code units", () => {
    const text = canonical(anything, {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    })
    assert.deepStrictEqual(Array.from(text.matchAll(/:"([^"]*)"/g), ([, name]) => name), [
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh"
    ])
  })

  it("escapes nothing but what JSON asks for", () => {
    assert.strictEqual(
      canonical(Schema.String, "\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001f\"\\/\u007f\u2028\u2029"),
      "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u007f\u2028\u2029\""
    )
  })
})

/** Whether two encoded values say the same, with what JSON has no word for. */
const isSameEncoding = (a: unknown, b: unknown): boolean => {
  const areSame = (x: Iterable<unknown>, y: Iterable<unknown>): boolean => {
    const [left, right] = [Array.from(x), Array.from(y)]
    return left.length === right.length && left.every((item, i) => isSameEncoding(item, right[i]))
  }
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return a === b
  if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false
  if (a instanceof Date) return a.getTime() === (b as Date).getTime()
  if (Option.isOption(a) || Option.isOption(b)) {
    return Option.isOption(a) && Option.isOption(b) && areSame(Option.toArray(a), Option.toArray(b))
  }
  if (Symbol.iterator in a) return areSame(a as Iterable<unknown>, b as Iterable<unknown>)
  const [left, right] = [a, b].map((value) =>
    Object.entries(value).filter(([, item]) => item !== undefined).toSorted(([x], [y]) => x < y ? -1 : 1)
  )
  return areSame(left ?? [], right ?? [])
}

// Among them texts that others would be written as.
const leaves = [
  null,
  undefined,
  false,
  0,
  1,
  0n,
  1n,
  new Date(0),
  new Date(1),
  new Uint8Array(),
  new Uint8Array([1]),
  "0",
  "1",
  "null",
  "undefined",
  "NaN",
  "1970-01-01T00:00:00.000Z",
  "AQ==",
  "Some"
]
const Leaf = Schema.Union([
  Schema.Null,
  Schema.Undefined,
  Schema.Boolean,
  Schema.Number,
  Schema.BigInt,
  Schema.Date,
  Schema.Uint8Array,
  Schema.String
])
const kinds = ["array", "record", "map", "set", "option"] as const

/** A value in outline: the place of a leaf, or a kind with its members. */
type Outline = number | { readonly kind: typeof kinds[number]; readonly items: ReadonlyArray<Outline> }
const outlines = (depth: number): Schema.Codec<Outline, unknown> => {
  const leaf = Schema.Literals(leaves.map((_, i) => i))
  return depth === 0 ? leaf : Schema.Union([
    leaf,
    Schema.Struct({
      kind: Schema.Literals(kinds),
      items: Schema.Array(outlines(depth - 1)).check(Schema.isMaxLength(3))
    })
  ]) as never
}
const encodings = (depth: number): Schema.Codec<unknown, unknown> => {
  if (depth === 0) return Leaf as never
  const inner = encodings(depth - 1)
  return Schema.Union([
    Leaf,
    Schema.Array(inner),
    Schema.ReadonlyMap(Schema.Union([Schema.Number, Schema.String]), inner),
    Schema.ReadonlySet(inner),
    Schema.Option(inner),
    Schema.Record(Schema.String, inner)
  ]) as never
}
const Encoding = encodings(4)
const valueOf = (outline: Outline): unknown => {
  if (typeof outline === "number") return leaves[outline]
  const items = outline.items.map(valueOf)
  switch (outline.kind) {
    case "array":
      return items
    case "record":
      return Object.fromEntries(items.map((item, i) => [String(i), item]))
    case "map":
      return new Map(items.map((item, i) => [i === 0 ? "0" : i, item]))
    case "set":
      return new Set(items)
    case "option":
      return items.length === 0 ? Option.none() : Option.some(items[0])
  }
}
const outlinePairs = Arbitrary.all([Arbitrary.schema(outlines(2)), Arbitrary.schema(outlines(2))])

describe("what JSON has no word for", () => {
  const areDistinct = <P>(schema: Schema.Codec<P, unknown>, values: ReadonlyArray<P>): boolean =>
    new Set(values.map((value) => canonical(schema, value))).size === values.length
  const areSame = <P>(schema: Schema.Codec<P, unknown>, a: P, b: P): boolean =>
    canonical(schema, a) === canonical(schema, b)

  it.prop("are equal for two encodings if and only if the encodings are", [outlinePairs], ([[a, b]]) => {
    const [left, right] = [valueOf(a), valueOf(b)]
    assert.strictEqual(canonical(Encoding, left) === canonical(Encoding, right), isSameEncoding(left, right))
  }, { arbitrary: { runs: 4000 } })

  it.prop("differ where one leaf within does", [outlines(2), Schema.Literals(kinds)], ([outline, kind]) => {
    const within = (leaf: number): Outline => ({ kind, items: [{ kind, items: [leaf] }, outline] })
    const texts = leaves.map((_, i) => canonical(Encoding, valueOf(within(i))))
    assert.strictEqual(new Set(texts).size, leaves.length)
  }, { arbitrary: { runs: 200 } })

  it("undefined is null nowhere", () => {
    const maybe = Schema.UndefinedOr(Schema.NullOr(Schema.Number))
    assert.isTrue(areDistinct(maybe, [undefined, null]))
    assert.isTrue(areDistinct(Schema.Array(maybe), [[], [undefined], [null], [undefined, null], [null, undefined]]))
    assert.isTrue(areDistinct(Schema.ReadonlyMap(Schema.String, maybe), [
      new Map(),
      new Map([["a", undefined]]),
      new Map([["a", null]])
    ]))
    const holes: ReadonlyArray<Json> = Object.assign([] as Array<Json>, { length: 1 })
    assert.isTrue(areDistinct(anything, [[], holes, [null], [holes, null], [null, holes]]))
  })

  it("a class is not another one with the same members", () => {
    const schema = Schema.Union([
      Schema.Chunk(Schema.Number),
      Schema.HashSet(Schema.Number),
      Schema.Array(Schema.Number)
    ])
    assert.isTrue(areDistinct<unknown>(schema as never, [Chunk.make(1), HashSet.make(1), [1]]))
    assert.isTrue(areDistinct(Schema.Duration, [Duration.seconds(1), Duration.millis(1), Duration.infinity]))
    assert.isTrue(areSame(Schema.Duration, Duration.seconds(1), Duration.millis(1000)))
  })

  it("a bigint is exact, and is no string", () => {
    assert.isTrue(areDistinct(Schema.BigInt, [2n ** 64n, 2n ** 64n + 1n, -(2n ** 64n), 0n]))
    assert.isTrue(areDistinct(Schema.Union([Schema.BigInt, Schema.String, Schema.Number]), [1n, "1", 1]))
    assert.isTrue(
      areDistinct(Schema.Array(Schema.Union([Schema.BigInt, Schema.String])), [[1n, "1"], ["1", 1n], [1n, 1n], [
        "1",
        "1"
      ]])
    )
  })

  it("a Date is its instant", () => {
    assert.isTrue(areDistinct(Schema.Date, [new Date(0), new Date(1)]))
    assert.isTrue(areSame(Schema.Date, new Date("2026-01-01T01:00:00+01:00"), new Date("2026-01-01T00:00:00Z")))
    assert.isTrue(areDistinct(Schema.Union([Schema.Date, Schema.String]), [new Date(0), "1970-01-01T00:00:00.000Z"]))
    assert.strictEqual(faultOf(Schema.Date, new Date(Number.NaN)), "not encodable")
  })

  it("bytes are their content", () => {
    assert.isTrue(areDistinct(Schema.Uint8Array, [
      new Uint8Array([]),
      new Uint8Array([0]),
      new Uint8Array([0, 0]),
      new Uint8Array([255])
    ]))
    assert.isTrue(areSame(Schema.Uint8Array, new Uint8Array([1, 2, 3]), new Uint8Array([0, 1, 2, 3]).subarray(1)))
  })

  it("a Map and a Set are their members, in their order", () => {
    const maps = Schema.ReadonlyMap(Schema.String, Schema.Number)
    assert.isTrue(areDistinct(maps, [
      new Map(),
      new Map([["a", 1]]),
      new Map([["a", 2]]),
      new Map([["b", 1]]),
      new Map([["a", 1], ["b", 1]])
    ]))
    assert.isTrue(areSame(maps, new Map([["a", 1]]), new Map([["a", 1]])))
    assert.isTrue(
      areDistinct(Schema.ReadonlySet(Schema.Number), [new Set(), new Set([1]), new Set([2]), new Set([1, 2])])
    )
    assert.isTrue(
      areDistinct(Schema.Union([Schema.ReadonlySet(Schema.Number), Schema.Array(Schema.Number)]), [new Set([1]), [1]])
    )
  })

  it("a class is its fields", () => {
    class Order extends Schema.Class<Order>("Order")({ id: Schema.String, count: Schema.BigInt }) {}
    assert.isTrue(areSame(Order, new Order({ id: "a", count: 1n }), new Order({ count: 1n, id: "a" })))
    assert.isTrue(areDistinct(Order, [
      new Order({ id: "a", count: 1n }),
      new Order({ id: "a", count: 2n }),
      new Order({ id: "b", count: 1n })
    ]))
  })

  it("an absent member is one that is undefined, and neither is null", () => {
    for (const other of [Schema.Number, Schema.BigInt]) {
      const schema = Schema.Struct({
        note: Schema.optional(Schema.NullOr(Schema.String)),
        other: other as Schema.Codec<unknown>
      })
      const one = other === Schema.Number ? 1 : 1n
      assert.isTrue(areSame(schema, { note: undefined, other: one }, { other: one }))
      assert.isTrue(areDistinct(schema, [{ other: one }, { note: null, other: one }]))
    }
  })
})

describe("what has no fingerprint", () => {
  const nested = (depth: number): Json => Array.from({ length: depth }).reduce<Json>((value) => [value], 1)

  it("a number that is not finite, wherever it is", () => {
    const schema = Schema.Struct({ exact: Schema.BigInt, list: Schema.Array(Schema.Struct({ n: Schema.Number })) })
    assert.strictEqual(faultOf(schema, { exact: 1n, list: [{ n: 1 }, { n: Number.NaN }] }), "not a finite number")
    assert.strictEqual(faultOf(schema, { exact: 1n, list: [{ n: Number.NEGATIVE_INFINITY }] }), "not a finite number")
    const maps = Schema.ReadonlyMap(Schema.Number, Schema.Array(Schema.Number))
    assert.strictEqual(faultOf(maps, new Map([[1, [Number.NaN]]])), "not a finite number")
    assert.strictEqual(faultOf(maps, new Map([[Number.NaN, []]])), "not a finite number")
    assert.strictEqual(faultOf(Schema.ReadonlySet(Schema.Number), new Set([Number.NaN])), "not a finite number")
    assert.strictEqual(faultOf(Schema.Option(Schema.Number), Option.some(Number.NaN)), "not a finite number")
  })

  it.prop("a text exactly when it holds a lone surrogate", [Schema.String], ([text]) => {
    const written = codecOf(Schema.Struct({ text: Schema.String })).canonical({ text }, limit)
    assert.strictEqual(Result.isSuccess(written), text.isWellFormed())
  }, { arbitrary: { runs: 2000 } })

  it("a lone surrogate, in a text or a name", () => {
    assert.strictEqual(faultOf(Schema.String, "a\ud800b"), "a lone surrogate")
    assert.strictEqual(faultOf(Schema.String, "\udc00\ud800"), "a lone surrogate")
    assert.strictEqual(faultOf(Schema.Record(Schema.String, Schema.Number), { "\udfff": 1 }), "a lone surrogate")
    const maps = Schema.ReadonlyMap(Schema.String, Schema.Number)
    assert.strictEqual(faultOf(maps, new Map([["\ud800", 1]])), "a lone surrogate")
    assert.strictEqual(canonical(Schema.String, "\ud83d\ude00"), "\"\ud83d\ude00\"")
  })

  it("a cycle, with a schema that follows it and with one that does not", () => {
    interface Node {
      readonly name: string
      next?: Node | undefined
    }
    const Node: Schema.Codec<Node, unknown> = Schema.Struct({
      name: Schema.String,
      next: Schema.optional(Schema.suspend((): Schema.Codec<Node, unknown> => Node))
    }) as never
    const node: Node = { name: "a" }
    node.next = node
    assert.strictEqual(faultOf(Node, node), "not encodable")
    assert.strictEqual(faultOf(Schema.Unknown, node), "nested too deep")
  })

  it("more than 64 levels", () => {
    assert.strictEqual(canonical(anything, nested(64)).length, 129)
    assert.strictEqual(faultOf(anything, nested(65)), "nested too deep")
    assert.strictEqual(faultOf(anything, nested(100_000)), "nested too deep")
  })

  it("more bytes than the limit, counted as UTF-8", () => {
    for (const [character, bytes] of [["a", 1], ["\u00e9", 2], ["\u20ac", 3], ["\ud83d\ude00", 4]] as const) {
      const text = character.repeat(100)
      assert.strictEqual(canonical(Schema.String, text), `"${text}"`)
      assert.isTrue(Result.isSuccess(codecOf(Schema.String).canonical(text, 100 * bytes + 2)))
      assert.strictEqual(faultOf(Schema.String, text, 100 * bytes + 1), "too large")
    }
    assert.strictEqual(faultOf(Schema.Unknown, Array.from({ length: 300_000 }, () => 1)), "too large")
  })

  it("what the schema cannot encode", () => {
    for (
      const value of [new Map([["a", 1]]), new Set([1]), new Error("a"), Symbol("a"), () => 1, { toJSON: () => 1 }]
    ) {
      assert.strictEqual(faultOf(Schema.Unknown, value), "not encodable")
    }
    assert.strictEqual(faultOf(Schema.String as Schema.Codec<unknown>, 1), "not encodable")
  })

  it("what throws when it is read", () => {
    const throwing = {
      get amount(): number {
        throw new Error("no")
      }
    }
    assert.strictEqual(faultOf(Schema.Unknown, throwing), "not encodable")
  })
})

describe("the fingerprint of a call", () => {
  const layer = Idempotency.layer().pipe(
    Layer.provideMerge(IdempotencyStore.layerStoreMemory()),
    Layer.provide(NodeCrypto.layer)
  )
  const scope = Idempotency.Scope.make({ tenant: "acme", operation: "charge", version: 1 })
  const key = Idempotency.Key.make("key-1")
  const call = <P>(payload: P, payloadSchema: Schema.Codec<P, unknown>) => {
    let runs = 0
    return Effect.map(
      Effect.sync(() => ++runs).pipe(
        Idempotency.idempotent({
          scope,
          key,
          payload,
          payloadSchema,
          success: Schema.Number,
          error: PaymentError.PaymentError
        })
      ),
      () => runs
    )
  }

  it.effect.each(["a", "e\u0301\u00e9", "\u20ac".repeat(200), "a".repeat(600), "\ud83d\ude00"])(
    "is the SHA-256 of the canonical text, with its version: %s",
    (text) =>
      Effect.gen(function*() {
        yield* call({ text }, Schema.Struct({ text: Schema.String }))
        const hex = createHash("sha256").update(`{"text":"${text}"}`).digest("hex")
        assert.strictEqual((yield* Idempotency.inspect({ scope, key }))?.fingerprint, `v1:${hex}`)
      }).pipe(Effect.provide(layer))
  )

  it.effect("is refused by name, before anything runs and anything is stored", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(call(Number.NaN, Schema.Number))
      assert.strictEqual(error._tag === "IdempotencyError" && error.reason._tag, "PayloadInvalid")
      assert.strictEqual(error.message, "the payload has no fingerprint: not a finite number")
      assert.strictEqual(error.disposition, "Refused")
      assert.isUndefined(yield* Idempotency.inspect({ scope, key }))
    }).pipe(Effect.provide(layer)))
})
