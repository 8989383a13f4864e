import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Redaction } from "effect-payments"

const pan = "4111111111111111"

const collect = (chunks: Iterable<string>) =>
  Effect.map(Stream.runCollect(Redaction.scrubStream(Stream.fromIterable(chunks))), (pieces) => ({
    text: pieces.map(({ text }) => text).join(""),
    findings: pieces.flatMap(({ findings }) => findings),
    longest: Math.max(0, ...pieces.map(({ text }) => text.length))
  }))

const chunksOf = (text: string, size: number): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))

const filler = (length: number) =>
  "level=info msg=\"nothing to see here\" status=200\n".repeat(length / 48 + 1).slice(0, length)

describe("scrubStream", () => {
  it.effect("gives what scrub gives, however the text is cut", () =>
    Effect.gen(function*() {
      const text = `a 4111 1111 1111 1111, cvv: 123\n%B${pan}^DOE/JANE^29121016077845117257?\n{"card":${pan}}\n`
      for (let size = 1; size <= text.length; size++) {
        const { findings, text: scrubbed } = yield* collect(chunksOf(text, size))
        assert.strictEqual(scrubbed, Redaction.scrub(text))
        assert.deepStrictEqual(findings.map(({ kind, line }) => [kind, line]), [
          ["pan", 1],
          ["cvv", 1],
          ["track", 2],
          ["pan", 3]
        ])
        assert.strictEqual(text.slice(findings[0]!.start, findings[0]!.end), "4111 1111 1111 1111")
      }
    }))

  it.effect("finds a card wherever it lies across the places where it cuts", () =>
    Effect.gen(function*() {
      for (let at = 61_000; at < 66_000; at += 37) {
        const text = `${filler(at)} card 4111-1111-1111-1111 x ${filler(9000)}`
        const { findings, text: scrubbed } = yield* collect(chunksOf(text, 10_007))
        assert.strictEqual(scrubbed, text.replace("4111-1111-1111-1111", "[PAN ****1111]"))
        assert.deepStrictEqual(findings.map(({ end, start }) => text.slice(start, end)), ["4111-1111-1111-1111"])
      }
    }))

  it.effect("finds what goes over several lines", () =>
    Effect.gen(function*() {
      for (let at = 60_000; at < 66_000; at += 101) {
        const text = `${
          filler(at)
        }\nx\n4111\n1111\n1111\n1111\n"cc1": "4111",\n"cc2": "1111",\n"cc3": "1111",\n"cc4": "1111"\n${filler(9000)}`
        const { findings, text: scrubbed } = yield* collect([text])
        assert.notInclude(scrubbed, "4111")
        const line = filler(at).split("\n").length + 2
        assert.deepStrictEqual(
          findings.map(({ end, line, start }) => [text.slice(start, end).replaceAll("\n", " "), line]),
          [["4111 1111 1111 1111", line], ...["4111", "1111", "1111", "1111"].map((part, i) => [part, line + 4 + i])]
        )
      }
    }))

  it.effect("keeps places and lines right over many pieces", () =>
    Effect.gen(function*() {
      const lines = Array.from({ length: 20_000 }, (_, i) =>
        i % 7 === 0 ? `line ${i} of the log: card ${pan}` : `line ${i}`)
      const text = lines.join("\n")
      const { findings, text: scrubbed } = yield* collect(chunksOf(text, 4096))
      assert.strictEqual(scrubbed, text.replaceAll(pan, "[PAN ****1111]"))
      assert.lengthOf(findings, Math.ceil(20_000 / 7))
      findings.forEach(({ end, line, start }, i) => {
        assert.strictEqual(text.slice(start, end), pan)
        assert.strictEqual(line, i * 7 + 1)
      })
    }))

  it.effect("bounds what it keeps of a line without an end", () =>
    Effect.gen(function*() {
      for (const part of ["x", "4", "4111 ", `${pan},`, "QUJD", "3431", "é"]) {
        const { longest, text } = yield* collect(chunksOf(part.repeat(1_000_000 / part.length), 16_384))
        assert.isAtMost(longest, 80_000)
        assert.notMatch(text, /4111 1111 1111 1111|4111111111111111,/)
      }
    }))

  it.effect("finds a card in one long line of anything", () =>
    Effect.gen(function*() {
      for (let at = 62_000; at < 64_500; at += 97) {
        const line = `${"abcdefghij".repeat(at / 10)}${pan}${"klmnopqrst".repeat(2000)}`
        assert.notInclude((yield* collect([line])).text, pan)
      }
    }))

  it.effect("answers nothing to nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* collect([]), { text: "", findings: [], longest: 0 })
      assert.deepStrictEqual(yield* collect(["", ""]), { text: "", findings: [], longest: 0 })
    }))

  it.effect("begins anew each time it runs", () =>
    Effect.gen(function*() {
      const stream = Redaction.scrubStream(Stream.make("a\n", pan))
      const first = yield* Stream.runCollect(stream)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), first)
    }))
})
