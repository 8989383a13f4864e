import { assert, describe, it } from "@effect/vitest"
import { Redaction } from "effect-payments"
import { readCorpus, score, scrubbed, shapes } from "./corpus.ts"

const rows = readCorpus(new URL("../data/redaction-corpus.jsonl", import.meta.url))

describe("the corpus", () => {
  it("is scored by what can be read, not by what the scrubber says", () => {
    const [positive] =
      score([{ id: 1, label: "tp", cat: "x", text: "4111 1111 1111 1112", pan: "4111111111111112" }]).positives
    assert.strictEqual(positive?.right, 0)
    const [negative] = score([{ id: 1, label: "tn", cat: "x", text: "4111 1111 1111 1111" }]).negatives
    assert.strictEqual(negative?.right, 0)
  })

  it("loses no card and takes nothing else", () => {
    const { negatives, positives, precision, recall } = score(rows)
    const wrong = [...positives, ...negatives].flatMap(({ wrong }) => wrong).map((
      { cat, sep, text }
    ) => [cat, sep, text])
    assert.isAtLeast(recall, 0.995, JSON.stringify(wrong))
    assert.isAtLeast(precision, 0.995, JSON.stringify(wrong))
  })

  it("reads the same when it is scrubbed again", () => {
    for (const { text } of rows) {
      const once = Redaction.scrub(text ?? "")
      assert.strictEqual(Redaction.scrub(once), once)
    }
  })

  it("leaves JSON that can be parsed", () => {
    const texts = rows.flatMap(({ text }) => text?.startsWith("{") === true ? [text] : [])
    assert.isNotEmpty(texts)
    for (const text of texts) assert.doesNotThrow(() => JSON.parse(Redaction.scrub(text)) as unknown, text)
  })

  it.each(Object.keys(shapes))("shows no card number in a value of the shape %s", (shape) => {
    for (const pan of ["4111111111111111", "378282246310005", "5555555555554444"]) {
      const out = scrubbed({ id: 0, label: "tp", cat: "shape", text: null, pan, shape })
      assert.notInclude(out.replace(/\D/g, ""), pan)
      assert.notInclude(out, Array.from(pan, (digit) => digit.charCodeAt(0)).join(","))
    }
  })
})
