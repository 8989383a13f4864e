import { assert, describe, it } from "@effect/vitest"
import { Effect, Sink, Stdio } from "effect"
import { TestClock } from "effect/testing"
import { makeProgress } from "../src/progress.ts"

const written: Array<string> = []

const stdio = (isTerminal: boolean) =>
  Stdio.layerTest({
    stderrIsTerminal: Effect.succeed(isTerminal),
    stderr: () => Sink.forEach((text) => Effect.sync(() => written.push(String(text))))
  })

const reading = Effect.gen(function*() {
  written.length = 0
  const progress = yield* makeProgress
  let asked = 0
  for (let i = 1; i <= 5; i++) {
    yield* progress.show(() => {
      asked++
      return `${i} rows`
    })
    yield* TestClock.adjust("50 millis")
  }
  yield* progress.clear
  yield* progress.clear
  return asked
})

describe("progress", () => {
  it.effect("is shown at times on a terminal, and wiped at the end", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* reading, 2)
      assert.deepStrictEqual(written, ["\r\u001b[K3 rows", "\r\u001b[K5 rows", "\r\u001b[K"])
    }).pipe(Effect.provide(stdio(true))))

  it.effect("is not shown where there is none", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* reading, 0)
      assert.deepStrictEqual(written, [])
    }).pipe(Effect.provide(stdio(false))))

  it.effect("writes nothing when it was never shown", () =>
    Effect.gen(function*() {
      written.length = 0
      const progress = yield* makeProgress
      yield* progress.show(() => "too early")
      yield* progress.clear
      assert.deepStrictEqual(written, [])
    }).pipe(Effect.provide(stdio(true))))
})
