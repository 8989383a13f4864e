import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Redaction } from "effect-payments"
import { Buffer } from "node:buffer"

describe("a security code", () => {
  it.each([
    "cvv 123",
    "CVV2/CVC2: 123",
    "cvv_code=123",
    "cvvCode: 123",
    "CVV number 123",
    "cvv#123",
    "cvv-123",
    "cvv123",
    "cvv;123",
    "cvv|123",
    "cvv := 123",
    "cvv == 123",
    "cvv – 123",
    "CVV................: 123",
    "**CVV:** 123",
    "cvv:\n  123",
    "cvv: \"1 2 3\"",
    "cvv: 1-2-3",
    "cvv: `123`",
    "cvv\u200b:\u00a0123",
    "cvv：１２３",
    "ＣＶＶ：123",
    "C.V.V.: 123",
    "cvv=%20123",
    "cvv%3A%20123",
    "cvv:&nbsp;123",
    "cvv&colon;123",
    "cvv was entered as 123",
    "cvv mismatch: 123",
    "<cvv type=\"x\">123</cvv>",
    "<ns:securityCode>123</ns:securityCode>",
    "<input name=\"cvv\" type=\"password\" value=\"123\">",
    "payment_method_data%5Bcard%5D%5Bcvc%5D=123",
    "{\"cvc_code\":\"123\"}",
    "{\"cvvValue\":123}",
    "{\"verification_value\":\"123\"}",
    "{\"verificationCode\":\"123\"}",
    "{\"cvdCode\":\"123\"}",
    "cvn2: 123",
    "{\"name=\\\"cvv\\\" value=\\\"\":123}",
    "cardCvn=123",
    "{\"cvv\":{\"value\":\"123\"}}",
    "{\"name\":\"cvv\",\"value\":\"123\"}",
    "ccv: 123",
    "cvx=123",
    "CVV1: 123",
    "cav: 123",
    "CSC code: 123",
    "3-digit code: 123",
    "signature panel code 123",
    "Prüfcode: 123",
    "Pruefziffer: 123",
    "card_verification_value%3D123",
    "card%5Bsecurity_number%5D=1&CVV%20number%3D123",
    "card validation code: 123",
    "sec code 123",
    "x_card_code=123",
    "Sicherheitscode: 123",
    "Kartenprüfnummer 123",
    "code de sécurité: 123",
    "cryptogramme visuel 123",
    "código de seguridad: 123",
    "código de segurança 123",
    "codice di sicurezza: 123",
    "код безопасности: 123",
    "beveiligingscode: 123",
    "säkerhetskod 123",
    "sikkerhedskode: 123",
    "sikkerhetskode: 123",
    "kod bezpieczeństwa: 123",
    "güvenlik kodu: 123",
    "セキュリティコード：123",
    "보안코드: 123",
    "安全码：123"
  ])("is found in %s", (text) => {
    const scrubbed = Redaction.scrub(text)
    assert.include(scrubbed, "[CVV]")
    assert.notMatch(scrubbed, /[1１].{0,2}[2２].{0,2}[3３]/)
    assert.strictEqual(Redaction.scrub(scrubbed), scrubbed)
    if (text.startsWith("{")) JSON.parse(scrubbed)
  })

  it.each([
    "CVSS 9.8 (critical)",
    "cvs branch 123",
    "CVE-2024-1234",
    "security code enabled 200",
    "security code check passed in 120 ms",
    "cvv_result=M, avs=Y, code=200",
    "CVV2 response code: P (100 ms)",
    "{\"cvv\":null,\"amount\":1234}",
    "{\"cvv\":\"\",\"amount\":1234}",
    "{\"cvv_check\":\"pass\",\"code\":200}",
    "{\"fields\":[\"pan\",\"cvv\",\"exp\"],\"n\":123}",
    "cvv=***&amount=500",
    "cvv: *** 500",
    "cvv\n\n\n404 not found",
    "cvv must be 3 or 4 digits",
    "at cvv (/app/cvv.js:120:14)",
    "commit cvc1234abc",
    "TCVN 5712:1993",
    "| `tok_cvc` | 402 `incorrect_cvc` |",
    "https://example.com/cvv/help?id=123",
    "error code: 5012",
    "verification code 1001",
    "discard code 404",
    "cryptographie, 1024 bits",
    "Prüfung 1234"
  ])("is not found in %s", (text) => {
    assert.strictEqual(Redaction.scrub(text), text)
  })
})

describe("a PIN or a PIN block", () => {
  const block = "A1B2C3D4E5F60718"
  it.each([
    `pinblock=${block}`,
    "PIN Block: A1B2 C3D4 E5F6 0718",
    "pin block a1 b2 c3 d4 e5 f6 07 18",
    `pin block (ISO-0): ${block}`,
    `pin_block_hex=0x${block}`,
    `pinBlk: ${block}${block}`,
    `encryptedPin=${block}`,
    `DE52=${block}`,
    `F052: ${block}`,
    `field 52: ${block}`,
    `<PINBlock>${block}</PINBlock>`,
    `<DE52>${block}</DE52>`,
    `EPB: ${block}`,
    `{"pinBlock":"${Buffer.from(block, "hex").toString("base64")}"}`,
    "PIN: 1234",
    "{\"pin\":\"1234\"}",
    "{\"pin\":1234}"
  ])("is found in %s", (text) => {
    const scrubbed = Redaction.scrub(text)
    assert.include(scrubbed, "[PIN]")
    assert.notMatch(scrubbed, /a1.?b2|0718|obLD|1234/i)
    if (text.startsWith("{")) JSON.parse(scrubbed)
  })

  it.each([
    "pin=13",
    "PIN: 560001",
    "spin: 1234",
    "ping: 1234 ms",
    "pin 1234",
    `sha ${block}`,
    `F520=${block}`,
    "DE52 9889 9177 7159 8260 76"
  ])(
    "is not found in %s",
    (text) => assert.strictEqual(Redaction.scrub(text), text)
  )
})

describe("a magnetic stripe", () => {
  const first = "%B4111111111111111^DOE/JANE^29121016077845117257?"
  const second = ";4111111111111111=29121016736335016367?"
  it.each([
    first,
    first.toLowerCase(),
    "%B4111 1111 1111 1111^DOE/JANE^29121016077845117257?",
    "%B4111111111111111^^29121016077845117257?",
    encodeURIComponent(first),
    encodeURIComponent(encodeURIComponent(second)),
    second,
    ";4111111111111111=2912?",
    "4111 1111 1111 1111=29121016736335016367",
    "%B6799990100000000019^DOE/JANE^29121016077845117257?",
    "9F6B134111111111111111D29121016736335016367F",
    "4111111111111111d29121016736335016367f",
    "57134111111111111111D29121016736335016367F",
    "9f1a020057134111111111111111D29121016736335016367",
    Buffer.from(first).toString("base64"),
    Buffer.from(second).toString("hex")
  ])("is found in %s", (text) => {
    const scrubbed = Redaction.scrub(text)
    assert.include(scrubbed, "[TRACK]")
    assert.notMatch(scrubbed, /2912|DOE|4111/i)
  })

  it("is found beside the tag of the number in a record of EMV", () => {
    assert.strictEqual(
      Redaction.scrub("9F0206000000000100 5A084111111111111111 5F2403291231"),
      "9F0206000000000100 5A08[PAN ****1111] 5F2403291231"
    )
    assert.strictEqual(Redaction.scrub("5A08378282246310005F5F3401"), "5A08[PAN ****0005]F5F3401")
    assert.strictEqual(Redaction.scrub("5A084111111111111112"), "5A084111111111111112")
  })
})

describe("a label in one piece and its value in another", () => {
  const texts = ["cvv was entered as 123", "the security\ncode is 123", "pin block\nA1B2C3D4E5F60718"]
  const Offset = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 80 }))

  it.effect.prop(
    "belong together where a stream is cut",
    // Where a full buffer is cut, and where it ends.
    [Offset, Schema.Literals(texts), Schema.Literals([63_460, 65_480])],
    ([offset, text, place]) =>
      Effect.gen(function*() {
        const word = "lorem ipsum\n"
        const before = word.repeat(Math.floor(place / word.length)) + " ".repeat(offset)
        const pieces = yield* Stream.make(before, text, `\n${word.repeat(1000)}`).pipe(
          Redaction.scrubStream,
          Stream.runCollect
        )
        const scrubbed = pieces.map((piece) => piece.text).join("")
        assert.notMatch(scrubbed, /123|0718/)
      })
  )
})

describe("fields that say what they hold", () => {
  it.each<readonly [unknown, unknown]>([
    [new Map([["cvv", "123"]]), [["cvv", "[CVV]"]]],
    [new Map<unknown, unknown>([["cvv", { value: "123" }], [1, 2]]), [["cvv", "[CVV]"], [1, 2]]],
    [[["cvv", "123"], ["amount", "500"]], [["cvv", "[CVV]"], ["amount", "500"]]],
    [["cvv", "pan"], ["cvv", "pan"]],
    [{ name: "cvv", value: "123" }, { name: "cvv", value: "[CVV]" }],
    [{ key: "securityCode", value: 123 }, { key: "securityCode", value: "[CVV]" }],
    [{ name: "amount", value: "123" }, { name: "amount", value: "123" }],
    [{ name: "cvv", value: "pass" }, { name: "cvv", value: "pass" }],
    [{ cvvValue: "123", cvdCode: 123, card_verification_number: "123", cvvResult: "M" }, {
      cvvValue: "[CVV]",
      cvdCode: "[CVV]",
      card_verification_number: "[CVV]",
      cvvResult: "M"
    }],
    [{ track2EquivalentData: "x", pinData: "x" }, { track2EquivalentData: "[TRACK]", pinData: "[PIN]" }],
    [{ userPassword: "x", "x-api-key": "k", clientSecret: "s", paymentToken: "t" }, {
      userPassword: "[SECRET]",
      "x-api-key": "[SECRET]",
      clientSecret: "[SECRET]",
      paymentToken: "[SECRET]"
    }],
    [{ preAuthorization: { id: "a" }, tokens: 7 }, { preAuthorization: { id: "a" }, tokens: 7 }]
  ])("scrubs %o", (value, expected) => {
    assert.deepStrictEqual(Redaction.scrubUnknown(value), expected)
    assert.deepStrictEqual<unknown>(Redaction.scrubUnknown(expected), expected)
  })
})
