import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"
import { Card, PaymentError, Redaction } from "effect-payments"

const digits = Schema.String.check(Schema.isPattern(/^[0-9]{11,18}$/))

/** Completes digits to a valid card number of a brand. */
const toPan = (body: string): string => {
  const stem = `4${body}`.slice(0, 15)
  for (let check = 0; check < 10; check++) if (Card.luhn(`${stem}${check}`)) return `${stem}${check}`
  return stem
}

describe("scrub", () => {
  it.each([
    ["4111111111111111", "[PAN ****1111]"],
    ["paid with 4111-1111-1111-1111 today", "paid with [PAN ****1111] today"],
    ["4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[PAN ****1111]"],
    ["378282246310005, 5555 5555 5555 4444", "[PAN ****0005], [PAN ****4444]"],
    ["{\"card\":\"4111111111111111\"}", "{\"card\":\"[PAN ****1111]\"}"],
    ["٤١١١١١١١١١١١١١١١", "[PAN ****١١١١]"],
    ["cvv: 123", "cvv: [CVV]"],
    ["CVC2=1234;", "CVC2=[CVV];"],
    ["\"cvv2\":\"123\"", "\"cvv2\":\"[CVV]\""],
    ["{\\\"securityCode\\\":\\\"123\\\"}", "{\\\"securityCode\\\":\\\"[CVV]\\\"}"],
    ["cardCvv=123", "cardCvv=[CVV]"],
    ["the security code is 123.", "the security code is [CVV]."],
    ["security code 3225", "security code [CVV]"],
    ["card_verification_value: 094", "card_verification_value: [CVV]"],
    ["cid=127", "cid=[CVV]"],
    ["<cvv>123</cvv>", "<cvv>[CVV]</cvv>"],
    ["swipe %B4111111111111111^DOE/JANE^29121016077845117257? end", "swipe [TRACK] end"],
    ["swipe ;4111111111111111=29121010554227356253? end", "swipe [TRACK] end"],
    ["57 4111111111111111D2912101392346455F", "57 [TRACK]"],
    ["pin_block: 8F1B2C3D4E5F6071", "pin_block: [PIN]"]
  ])("takes out %s", (text, expected) => {
    assert.strictEqual(Redaction.scrub(text), expected)
  })

  it.each([
    "",
    "nothing to see",
    "order 20261124, total 123.45 EUR",
    "at 1764000000000 (epoch), 1764000000000000000 ns",
    "id 8e03978e-40d5-43e8-bc93-6894a57f9324",
    "4111111111111112",
    "cid=063958352532",
    "client placid 1234",
    "security code enabled 200",
    "cvss: 7.9",
    "****1111, exp 12/29",
    "%B1234567890123^DOE/JANE^29121016077845117257?",
    "pin: 1234567890"
  ])("leaves %s as it is", (text) => {
    assert.strictEqual(Redaction.scrub(text), text)
  })

  it.effect.prop(
    "keeps the last four digits of a card and none of the others",
    [digits],
    ([body]) =>
      Effect.sync(() => {
        const pan = toPan(body)
        const scrubbed = Redaction.scrub(`a ${pan} b`)
        assert.strictEqual(scrubbed, `a [PAN ****${pan.slice(-4)}] b`)
      })
  )

  it.effect.prop(
    "scrubs once and for all, whatever stands beside what",
    [Schema.Array(Schema.Union([
      Schema.Literals([
        "cvv",
        "cvv: ",
        "=",
        "D2912101",
        " ",
        "-",
        "^",
        "%B",
        ";",
        "?",
        "[",
        "]",
        "pin block ",
        "1",
        "11"
      ]),
      digits,
      Schema.String.check(Schema.isMaxLength(5))
    ]))],
    ([parts]) =>
      Effect.sync(() => {
        const once = Redaction.scrub(parts.map((x) => x.length > 10 ? toPan(x) : x).join(""))
        assert.strictEqual(Redaction.scrub(once), once)
        assert.isFalse(Card.containsPan(once))
      })
  )
})

describe("scrubUnknown", () => {
  it("answers plain JSON", () => {
    const value = { a: [1, "x", true, null, undefined], b: { c: 5n }, d: undefined, [Symbol("s")]: 1, f: () => 1 }
    assert.deepStrictEqual(Redaction.scrubUnknown(value), {
      a: [1, "x", true, null, null],
      b: { c: "5" },
      f: "[function]"
    })
  })

  it("finds cards in texts, numbers, big integers and keys", () => {
    assert.deepStrictEqual(
      Redaction.scrubUnknown([
        "4111111111111111",
        4111111111111111,
        4111111111111111n,
        { "4111111111111111": 1 },
        new Map([["4111111111111111", 1]]),
        new Set(["4111111111111111"])
      ]),
      [
        "[PAN ****1111]",
        "[PAN ****1111]",
        "[PAN ****1111]",
        { "[PAN ****1111]": 1 },
        [["[PAN ****1111]", 1]],
        ["[PAN ****1111]"]
      ]
    )
  })

  it.each([
    "cvv",
    "cvc",
    "CVV2",
    "cvc2",
    "cid",
    "security_code",
    "securityCode",
    "Security-Code",
    "cardCvv"
  ])("takes out what is under %s", (key) => {
    assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: "1" }), { [key]: "[CVV]" })
    assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: 123 }), { [key]: "[CVV]" })
    assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: { deep: "1" } }), { [key]: "[CVV]" })
    assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: null }), { [key]: null })
  })

  it.each(["card_number", "cardNumber", "pan", "primary_account_number", "primaryAccountNumber"])(
    "keeps at most four digits of what is under %s, card or not",
    (key) => {
      assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: "4111 1111 1111 1112" }), { [key]: "[PAN ****1112]" })
      assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: 4111111111111112 }), { [key]: "[PAN ****1112]" })
      assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: "41111" }), { [key]: "[PAN]" })
      assert.deepStrictEqual(Redaction.scrubUnknown({ [key]: ["4111", "1111"] }), { [key]: "[PAN]" })
    }
  )

  it("takes out tracks, PINs and secrets by their keys", () => {
    assert.deepStrictEqual(
      Redaction.scrubUnknown({ track_data: "x", track1: "x", track2: "x", pin: 1234, password: "x", token: "tok_1" }),
      {
        track_data: "[TRACK]",
        track1: "[TRACK]",
        track2: "[TRACK]",
        pin: "[PIN]",
        password: "[SECRET]",
        token: "[SECRET]"
      }
    )
  })

  it("keeps what is redacted redacted", () => {
    const declined = new PaymentError.CardDeclined({
      code: "CardDeclined",
      advice: "TryAnotherMethod",
      nextKey: "new",
      processorCode: Redacted.make("05")
    })
    const scrubbed = Redaction.scrubUnknown({
      secret1: Redacted.make("hush", { label: "key of acme" }),
      nested: [Redacted.make(1)],
      declined
    })
    assert.notInclude(JSON.stringify(scrubbed), "hush")
    assert.notInclude(JSON.stringify(scrubbed), "05")
    assert.deepInclude(scrubbed, { secret1: "<redacted>", nested: ["<redacted>"] })
  })

  it("shows errors without their stack", () => {
    const error = new Error("card 4111111111111111 declined", { cause: new TypeError("cvv: 123") })
    Object.defineProperty(error, "stack", { enumerable: true })
    assert.deepStrictEqual(Redaction.scrubUnknown(Object.assign(error, { status: 402, cvv: 1 })), {
      name: "Error",
      message: "card [PAN ****1111] declined",
      cause: { name: "TypeError", message: "cvv: [CVV]" },
      status: 402,
      cvv: "[CVV]"
    })
  })

  it("shows what a value has to say of itself, scrubbed", () => {
    assert.deepStrictEqual(Redaction.scrubUnknown(new Date(0)), "1970-01-01T00:00:00.000Z")
    assert.deepStrictEqual(Redaction.scrubUnknown({ toJSON: () => ({ pan: "4111111111111111" }) }), {
      pan: "[PAN ****1111]"
    })
    assert.deepInclude(Redaction.scrubUnknown(Option.some("4111111111111111")), { value: "[PAN ****1111]" })
    assert.strictEqual(Redaction.scrubUnknown(new Uint8Array(16)), "[16 bytes]")
  })

  it("survives whatever a value does when it is read", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const shared = { a: 1 }
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    const trap = new Proxy({}, {
      ownKeys: () => {
        throw new Error("4111111111111111")
      }
    })
    const values = {
      circular,
      twice: [shared, shared],
      revoked: revoked.proxy,
      trap,
      getter: {
        get x(): never {
          throw new Error("no")
        },
        y: 1
      },
      json: {
        toJSON: () => {
          throw new Error("no")
        }
      },
      date: new Date(Number.NaN),
      nan: Number.NaN,
      ["__proto__"]: { polluted: true }
    }
    assert.deepStrictEqual(Redaction.scrubUnknown(values), {
      circular: { self: "[circular]" },
      twice: [{ a: 1 }, { a: 1 }],
      revoked: "[unreadable]",
      trap: "[unreadable]",
      getter: { x: "[unreadable]", y: 1 },
      json: "[unreadable]",
      date: null,
      nan: "NaN",
      ["__proto__"]: { polluted: true }
    })
    assert.isUndefined(({} as { readonly polluted?: boolean }).polluted)
  })

  it("has a bound on everything", () => {
    let deep: unknown = "4111111111111111"
    for (let i = 0; i < 10_000; i++) deep = { deep }
    assert.isBelow(JSON.stringify(Redaction.scrubUnknown(deep)).length, 200)
    assert.include(JSON.stringify(Redaction.scrubUnknown(deep)), "[too deep]")
    const wide = Array.from({ length: 1_000_000 }, (_, i) => i)
    assert.isBelow((Redaction.scrubUnknown(wide) as ReadonlyArray<unknown>).length, 1002)
    const endless = {
      *[Symbol.iterator]() {
        for (;;) yield 1
      }
    }
    assert.isDefined(Redaction.scrubUnknown(endless))
    const long = Array.from({ length: 100 }, () => "x".repeat(100_000))
    assert.isBelow(JSON.stringify(Redaction.scrubUnknown(long)).length, 80_000)
  })

  it("does not cut a card in two where it cuts a text", () => {
    for (let at = 8100; at < 8260; at++) {
      const text = `${"x".repeat(at)} 4111 1111 1111 1111 ${"y".repeat(1000)}`
      assert.notMatch(String(Redaction.scrubUnknown(text)), /4111/)
    }
    const many = "4111111111111111  ".repeat(2000)
    assert.notMatch(String(Redaction.scrubUnknown(many)), /4111/)
  })

  it("does not change what it reads", () => {
    const value = Object.freeze({ pan: "4111111111111111", list: Object.freeze(["4111111111111111"]) })
    Redaction.scrubUnknown(value)
    assert.deepStrictEqual(value, { pan: "4111111111111111", list: ["4111111111111111"] })
  })

  it.effect.prop("is total, answers JSON, and scrubs once and for all", [Schema.Json], ([value]) =>
    Effect.sync(() => {
      const once = Redaction.scrubUnknown({ value, error: new Error(JSON.stringify(value)) })
      assert.isTrue(Schema.is(Schema.Json)(once))
      assert.deepStrictEqual(Redaction.scrubUnknown(once), once)
    }))
})
