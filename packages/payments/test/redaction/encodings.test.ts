import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Card, Redaction } from "effect-payments"
import { Buffer } from "node:buffer"
import { inspect } from "node:util"

const prefixes = ["4", "51", "2221", "37", "6011", "62"]

/** A valid card number from any digits. */
const toPan = (brand: number, body: string): string => {
  const prefix = prefixes[brand % prefixes.length] ?? "4"
  const stem = `${prefix}${body}`.slice(0, prefix === "37" ? 14 : 15)
  return stem + [..."0123456789"].find((check) => Card.luhn(stem + check))
}

const Pan = Schema.Struct({
  brand: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
  body: Schema.String.check(Schema.isPattern(/^[0-9]{14}$/))
})

const codes = (pan: string): ReadonlyArray<number> => Array.from(pan, (digit) => digit.charCodeAt(0))
const each = (pan: string, f: (code: string) => string): string =>
  codes(pan).map((code) => f(code.toString(16))).join("")
const onLines = (text: string, length: number, end: string): string =>
  (text.match(new RegExp(`.{1,${length}}`, "gs")) ?? []).join(end)
const letter = "The order was paid in full, and the goods leave the house today. "
const fours = (pan: string): ReadonlyArray<string> => pan.match(/.{1,4}/g) ?? []

/** Ways in which programs write a card number without writing it. */
const encodings: { readonly [name: string]: (pan: string) => string } = {
  "percent-encoding": (pan) => `q=${each(pan, (hex) => `%${hex}`)}&x=1`,
  "percent-encoding, three times": (pan) => `u=${fours(pan).join("%252520")}`,
  "percent-encoding right before it": (pan) => `q=card%20${pan}&x=1`,
  "percent-encoded JSON": (pan) => `x=%22${pan}%22`,
  "percent-encoding twice, right before it": (pan) => `q=%2520${fours(pan).join("%2520")}`,
  "percent-encoded words right before it": (pan) => `${encodeURIComponent("卡号")}${pan}`,
  "an escape of JSON right before it": (pan) => `{"n":"\\u5361\\u53f7${pan}"}`,
  "an escape of JSON right before groups": (pan) => `{"n":"\\u0020${fours(pan).join(" ")}"}`,
  "an escape of JavaScript right before it": (pan) => `\\x20${pan}`,
  "percent-encoded spaces of another kind": (pan) => fours(pan).join("%C2%A0"),
  "percent-encoded dashes": (pan) => fours(pan).join("%E2%80%93"),
  "percent-encoding as escape() does it": (pan) => fours(pan).join("%u00A0"),
  "plus signs": (pan) => `q=${fours(pan).join("+")}&x=1`,
  "escapes of JSON": (pan) => `{"n":"${each(pan, (hex) => `\\u00${hex}`)}"}`,
  "escapes of JSON in JSON": (pan) => JSON.stringify({ body: `{"n":"${each(pan, (hex) => `\\u00${hex}`)}"}` }),
  "escapes of JavaScript": (pan) => each(pan, (hex) => `\\x${hex}`),
  "escapes of newer JavaScript": (pan) => each(pan, (hex) => `\\u{${hex}}`),
  "line breaks in JSON": (pan) => JSON.stringify({ text: `card\n${fours(pan).join("\n")}` }),
  "references of HTML": (pan) => codes(pan).map((code) => `&#${code};`).join(""),
  "references of HTML in hexadecimal": (pan) => each(pan, (hex) => `&#x${hex};`),
  "spaces of HTML": (pan) => fours(pan).join("&nbsp;"),
  "colours": (pan) => fours(pan).join("\u001b[0m\u001b[1m"),
  "soft line breaks": (pan) => `${pan.slice(0, 8)}=\r\n${pan.slice(8)}`,
  "soft line breaks anywhere": (pan) => onLines(`paid by =C3=A9: ${pan} today`, 7, "=\r\n"),
  "quoted-printable": (pan) => each(pan, (hex) => `=${hex}`),
  "spaces in quoted-printable": (pan) => fours(pan).join("=20"),
  "no-break spaces in quoted-printable": (pan) => fours(pan).join("=C2=A0"),
  "dashes in quoted-printable": (pan) => fours(pan).join("=E2=80=93"),
  "a subject in quoted-printable": (pan) => `=?utf-8?Q?card=20${fours(pan).join("=20")}?=`,
  "a form in quoted-printable": (pan) => `pan=3D=\r\n${pan}`,
  "references of HTML with zeros": (pan) => codes(pan).map((code) => `&#0${code};`).join(""),
  "references of HTML, escaped": (pan) => fours(pan).join("&amp;nbsp;"),
  "tabs of HTML": (pan) => fours(pan).join("&Tab;"),
  "line breaks of HTML": (pan) => fours(pan).join("<br/>"),
  "elements of HTML": (pan) => fours(pan).map((part) => `<span class="n">${part}</span>`).join(""),
  "octal escapes": (pan) => codes(pan).map((code) => `\\0${code.toString(8)}`).join(""),
  "base64 over lines": (pan) => onLines(Buffer.from(`${letter}card ${pan}. ${letter}`).toString("base64"), 76, "\r\n"),
  "base64 over short lines": (pan) => onLines(Buffer.from(`${letter}${pan}`).toString("base64"), 40, "\n  "),
  "base64 over lines in JSON": (pan) =>
    JSON.stringify({ m: onLines(Buffer.from(`${letter}card ${pan}`).toString("base64"), 64, "\r\n") }),
  "base64 of UTF-16": (pan) => Buffer.from(`card ${pan}`, "utf16le").toString("base64"),
  "hexadecimal over lines": (pan) => onLines(Buffer.from(`${letter}card ${pan}`).toString("hex"), 64, "\n"),
  "hexadecimal of UTF-16": (pan) => Buffer.from(pan, "utf16le").toString("hex"),
  "words of two bytes": (pan) => onLines(Buffer.from(`a ${pan}`).toString("hex"), 4, " "),
  "words of four bytes": (pan) => onLines(Buffer.from(`ab ${pan}`).toString("hex"), 8, " "),
  "a list of quoted digits": (pan) => JSON.stringify([...pan]),
  "fields of which the last has one digit": (pan) => {
    const sizes = [3, 6, 9, 12, 14]
    return [0, ...sizes].map((from, i) => `n${i}=${pan.slice(from, sizes[i])}`).join("&")
  },
  "base64": (pan) => `payload=${Buffer.from(pan).toString("base64")}`,
  "base64 behind a path": (pan) => `GET /a/b/${Buffer.from(`{"pan":"${pan}"}`).toString("base64")} 200`,
  "base64url": (pan) => `x.${Buffer.from(`{"a":"??>","pan":"${pan}"}`).toString("base64url")}.y`,
  "hexadecimal": (pan) => `buf=${Buffer.from(`a${pan}`).toString("hex")}`,
  "a buffer, shown": (pan) => inspect(Buffer.from(`a ${pan}`)),
  "a dump with colons": (pan) => each(pan, (hex) => `${hex}:`).slice(0, -1),
  "bytes in a program": (pan) => each(pan, (hex) => `0x${hex}, `).slice(0, -2),
  "a buffer as JSON": (pan) => JSON.stringify(Buffer.from(`a ${pan}`)),
  "a typed array of codes, shown": (pan) => inspect(Uint8Array.from(codes(pan))),
  "a typed array of digits, shown": (pan) => inspect(Uint8Array.from(pan, Number)),
  "a list of digits": (pan) => JSON.stringify({ d: Array.from(pan, Number) }),
  "a list of digits over lines": (pan) => JSON.stringify({ d: Array.from(pan, Number) }, null, 2),
  "a list of groups": (pan) => JSON.stringify({ n: fours(pan) }),
  "a list of groups over lines": (pan) => JSON.stringify({ n: fours(pan) }, null, 4),
  "fields of JSON": (pan) => JSON.stringify(Object.fromEntries(fours(pan).map((part, i) => [`cc${i + 1}`, part]))),
  "fields of JSON in JSON": (pan) =>
    JSON.stringify(JSON.stringify(Object.fromEntries(fours(pan).map((part, i) => [`cc${i + 1}`, part])))),
  "fields of a form": (pan) => fours(pan).map((part, i) => `card[${i}]=${part}`).join("&"),
  "fields of XML": (pan) => fours(pan).map((part, i) => `<part${i + 1}>${part}</part${i + 1}>`).join("\n"),
  "data element 2": (pan) => `DE2=${pan.length}${pan}|DE3=000000`
}

/** How much of a number may be read: the last four digits. */
const shows = (text: string, pan: string): boolean => {
  const views = [
    text,
    text.replace(/(?<=[a-z[])\d\]?(?=[>"\\=])/g, ""),
    text.replace(/%(?:25)*(?:20|C2|A0|E2|80|93)|u00a0/gi, "")
  ]
  return views.some((view) => view.replace(/\D/g, "").includes(pan.slice(0, -4)))
}

describe("card numbers in any encoding", () => {
  for (const [name, encode] of Object.entries(encodings)) {
    it.effect.prop(`are found in ${name}`, [Pan], ([{ body, brand }]) =>
      Effect.sync(() => {
        const pan = toPan(brand, body)
        const text = `before ${encode(pan)} after`
        const scrubbed = Redaction.scrub(text)
        assert.include(scrubbed, "[PAN ****", text)
        assert.isFalse(shows(scrubbed, pan), scrubbed)
        assert.isTrue(scrubbed.startsWith("before ") && scrubbed.endsWith(" after"), scrubbed)
        assert.strictEqual(Redaction.scrub(scrubbed), scrubbed)
      }))
  }
})

describe("what JSON has to escape", () => {
  // Right before a run of base64 or hexadecimal digits the end of an escape looks like a part of it.
  const befores = ["\n", "\t", "\b", "abc\n", "ab\n", "a\n", "\u0000", "\u001f", "\ud835", "\"", "\\", "\\n"]
  const inner = [(pan: string) => pan, (pan: string) => btoa(pan), (pan: string) => Buffer.from(pan).toString("hex")]

  it.effect.prop("stays escaped before what is taken out, however deep", [
    Pan,
    Schema.Literals(befores),
    Schema.Literals(inner.map((_, index) => index)),
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 }))
  ], ([{ body, brand }, before, index, depth]) =>
    Effect.sync(() => {
      const pan = toPan(brand, body)
      let text = `${before}${inner[index]!(pan)}`
      for (let i = 0; i < depth; i++) text = JSON.stringify({ body: text })
      let value: unknown = Redaction.scrub(text)
      assert.isFalse(shows(String(value), pan), String(value))
      for (let i = 0; i < depth; i++) value = (JSON.parse(String(value)) as { readonly body: unknown }).body
      assert.include(value, `[PAN ****${pan.slice(-4)}]`)
    }))

  it("is a character, not the begin of a card number", () => {
    // 6237 is a character, and begins cards of UnionPay.
    const digits = [..."0123456789"].map((check) => `6237${"12345678901"}${check}`).find(Card.luhn)?.slice(4) ?? ""
    const text = `{"name":"\\u6237${digits}"}`
    assert.strictEqual(Redaction.scrub(text), text)
  })
})

describe("the same run a second time", () => {
  it.effect.prop(
    "is cut out at the same place",
    [Pan, Schema.Literals([0, 1, 2, 3])],
    ([{ body, brand }, offset]) =>
      Effect.sync(() => {
        const pan = toPan(brand, body)
        for (const encoding of ["base64", "hex"] as const) {
          // Digits that are none of a card make it look more than once.
          const run = Buffer.from(`111${"x".repeat(offset)}111${pan}`).toString(encoding)
          const once = Redaction.scrub(`["${run}"]`)
          assert.strictEqual(Redaction.scrub(`["${run}"]["${run}"]`), once + once)
        }
      })
  )
})

describe("what is encoded and no card", () => {
  it.effect.prop("stays: bytes of any kind", [
    Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
  ], ([bytes]) =>
    Effect.sync(() => {
      const buffer = Buffer.from(bytes)
      for (
        const text of [buffer.toString("base64"), buffer.toString("base64url"), buffer.toString("hex"), inspect(buffer)]
      ) {
        assert.strictEqual(Redaction.scrub(text), text)
      }
    }))

  it.each([
    "[7077, 9538, 5552, 3717]",
    "[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]",
    "line1=1234&line2=5678",
    "0.1%200.2%20100%",
    "p1: 8080, p2: 8081, p3: 8082, p4: 8083",
    "DE2=16123456|DE3=000000",
    "\\u0041\\u0042 C:\\new\\table 1234",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.c",
    "&amp;1234&lt;5678&gt;",
    "00:1a:2b:3c:4d:5e 10.0.0.1"
  ])("stays: %s", (text) => {
    assert.strictEqual(Redaction.scrub(text), text)
  })
})

const pieces = Schema.Array(Schema.Union([
  Schema.Struct({ pan: Pan, encoding: Schema.Literals(Object.keys(encodings)) }),
  Schema.Literals([
    "cvv: ",
    "cvv=123",
    "[CVV] ",
    "pin block ",
    "%25",
    "%3",
    "\\u",
    "&#52;",
    "\\",
    "\"",
    "{",
    "[",
    ",",
    "]",
    "}",
    "-",
    "D2912101",
    "4",
    " ",
    "\n",
    "MTEx",
    "3131"
  ]),
  Schema.String.check(Schema.isMaxLength(5))
]))

describe("any text", () => {
  const toText = (parts: typeof pieces.Type): string =>
    parts.map((part) =>
      typeof part === "string" ? part : encodings[part.encoding]?.(toPan(part.pan.brand, part.pan.body)) ?? ""
    ).join("")

  it.each(Object.keys(encodings))(
    "is scrubbed where a list of quoted digits or groups stands before or behind: %s",
    (name) => {
      const pan = toPan(0, "00000000000000")
      const encoded = encodings[name]?.(pan) ?? ""
      for (const list of ["a list of quoted digits", "a list of groups over lines"]) {
        const other = encodings[list]?.(pan) ?? ""
        for (
          const text of [`${other}${encoded}`, `${encoded}${other}`, `${other}\n${encoded}`, `${encoded}\n${other}`]
        ) {
          const once = Redaction.scrub(text)
          assert.isFalse(shows(once, pan), once)
          assert.strictEqual(Redaction.scrub(once), once)
        }
      }
    }
  )

  it.effect.prop("is scrubbed once and for all", [pieces], ([parts]) =>
    Effect.sync(() => {
      const once = Redaction.scrub(toText(parts))
      assert.strictEqual(Redaction.scrub(once), once)
      // An escape takes the digits behind it with it, which the detector by itself does not know.
      if (!/\\[ux][0-9]/.test(once)) assert.isFalse(Card.containsPan(once))
    }))

  const Json = Schema.Struct({
    json: Schema.Json,
    pans: Schema.Array(Pan),
    parts: pieces,
    deep: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    indent: Schema.Boolean
  })

  it.effect.prop(
    "that is JSON stays JSON, with numbers wherever they stand",
    [Json],
    ([{ deep, indent, json, pans, parts }]) =>
      Effect.sync(() => {
        const numbers = pans.map(({ body, brand }) => Number(toPan(brand, body)))
        let value: unknown = {
          json,
          numbers,
          cvv: 123,
          text: toText(parts),
          mixed: ["a", ...numbers, {}, ...numbers.map((n) => -n)]
        }
        for (let i = 0; i < deep; i++) value = { body: JSON.stringify(value), numbers, list: [[numbers], [value]] }
        const scrubbed = Redaction.scrub(JSON.stringify(value, null, indent ? 2 : 0))
        const parsed = JSON.parse(scrubbed) as { readonly numbers: ReadonlyArray<unknown> }
        assert.strictEqual(parsed.numbers.length, numbers.length)
        assert.isFalse(Card.containsPan(scrubbed))
      })
  )

  it.effect.prop("takes away nothing of a value twice", [Schema.Json, pieces], ([json, parts]) =>
    Effect.sync(() => {
      const once = Redaction.scrubUnknown({ json, pan: toText(parts), cvv: json, token: json, text: toText(parts) })
      assert.deepStrictEqual(Redaction.scrubUnknown(once), once)
    }))
})
