import { assert, describe, it } from "@effect/vitest"
import { DatabaseSync } from "node:sqlite"
import { makeCache } from "../src/internal/statement.ts"

describe("the cache of statements", () => {
  it("holds its capacity at most, and lets the least recently used go", () => {
    const cache = makeCache(new DatabaseSync(":memory:"), 2)
    const a = cache.get("SELECT 'a'")
    const b = cache.get("SELECT 'b'")
    assert.strictEqual(cache.get("SELECT 'a'"), a)
    cache.get("SELECT 'c'")
    assert.strictEqual(cache.size(), 2)
    assert.strictEqual(cache.get("SELECT 'a'"), a)
    assert.notStrictEqual(cache.get("SELECT 'b'"), b)
  })

  it("of capacity 0 keeps nothing", () => {
    const cache = makeCache(new DatabaseSync(":memory:"), 0)
    assert.notStrictEqual(cache.get("SELECT 1"), cache.get("SELECT 1"))
    assert.strictEqual(cache.size(), 0)
  })

  it("of 500 texts stays at 200", () => {
    const cache = makeCache(new DatabaseSync(":memory:"), 200)
    for (let i = 0; i < 500; i++) cache.get(`SELECT ${i}`)
    assert.strictEqual(cache.size(), 200)
  })
})
