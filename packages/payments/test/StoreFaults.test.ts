import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Latch, Layer } from "effect"
import { StoreFaults } from "effect-payments/testing"
import { Socket, SocketServer } from "effect/socket"

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0))

/** What a splitter makes of these bytes, however they come. */
const splitAll = (split: (bytes: Uint8Array) => ReturnType<typeof reader>, all: Uint8Array) => {
  const found: Array<readonly [boolean, number, string]> = []
  let from = 0
  for (let until = 0; until <= all.length; until++) {
    for (let message = split(all.subarray(from, until)); message !== undefined;) {
      found.push([message.counts, message.length, message.text])
      from += message.length
      message = split(all.subarray(from, until))
    }
  }
  assert.strictEqual(from, all.length)
  return found
}
const reader = StoreFaults.redis.connect().requests

const int32 = (value: number) =>
  String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)
const pg = (type: string, body: string) => `${type}${int32(body.length + 4)}${body}`

describe("the protocols of StoreFaults", () => {
  it("cut what a client sends to Redis into commands", () => {
    const { requests } = StoreFaults.redis.connect()
    const sent = "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"
    assert.deepStrictEqual(splitAll(requests, bytesOf(sent)).map(([counts, , text]) => [counts, text]), [
      [true, "GET a\r\nb"],
      [true, "PING"],
      [true, "SET k "]
    ])
  })

  it("cut what Redis answers into replies, and count no pushes", () => {
    const { replies } = StoreFaults.redis.connect()
    const answers = [
      "+OK\r\n",
      "$-1\r\n",
      "*-1\r\n",
      "$6\r\na\r\nb\r\n\r\n",
      "*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
      "%1\r\n+a\r\n:1\r\n",
      ">2\r\n+pushed\r\n:1\r\n",
      "|1\r\n+ttl\r\n:3\r\n$1\r\ny\r\n",
      "_\r\n",
      "-ERR no\r\n"
    ]
    const found = splitAll(replies, bytesOf(answers.join("")))
    assert.deepStrictEqual(found.map(([, length]) => length), answers.map(({ length }) => length))
    assert.deepStrictEqual(found.map(([counts]) => counts), answers.map((answer) => !answer.startsWith(">")))
  })

  it("cut what a client sends to Postgres at each Sync and Query, behind the start", () => {
    const { requests } = StoreFaults.postgres.connect()
    const start = `${int32(12)}${int32(196_608)}user`
    const prepared = pg("P", "select 1") + pg("B", "") + pg("E", "") + pg("S", "")
    const sent = [`${int32(8)}${int32(80_877_103)}`, start, pg("p", "secret"), pg("Q", "begin"), prepared, pg("X", "")]
    const found = splitAll(requests, bytesOf(sent.join("")))
    assert.deepStrictEqual(found.map(([, length]) => length), sent.map(({ length }) => length))
    assert.deepStrictEqual(found.map(([counts]) => counts), [false, false, false, true, true, false])
    assert.include(found[4]?.[2], "select 1")
  })

  it("cut what Postgres answers at ReadyForQuery, and hold nothing back that the client waits for", () => {
    const { replies } = StoreFaults.postgres.connect()
    const opened = [pg("R", "auth"), pg("S", "parameter"), pg("Z", "I")]
    const answers = [pg("1", "") + pg("D", "row") + pg("C", "SELECT 1") + pg("Z", "I"), pg("A", "note"), pg("G", "")]
    const last = pg("C", "COPY 1") + pg("Z", "I")
    const all = [...opened, ...answers, last]
    const found = splitAll(replies, bytesOf(all.join("")))
    assert.deepStrictEqual(found.map(([, length]) => length), all.map(({ length }) => length))
    assert.deepStrictEqual(found.map(([counts]) => counts), [false, false, false, true, false, false, true])
  })
})

/** A protocol of lines, each of which is answered with the same. */
const lines: StoreFaults.Protocol = {
  name: "lines",
  connect: () => {
    const split = (bytes: Uint8Array) => {
      const length = bytes.indexOf(10) + 1
      return length === 0
        ? undefined
        : { length, counts: true, text: new TextDecoder().decode(bytes.subarray(0, length)) }
    }
    return { requests: split, replies: split }
  }
}

const server = (host: string) => NodeSocketServer.layer({ host, port: 0 })

const echo = Effect.gen(function*() {
  const { address, run } = yield* SocketServer.SocketServer
  const received: Array<string> = []
  yield* Effect.forkScoped(run((socket) =>
    Effect.gen(function*() {
      const pull = yield* Socket.readerString(socket)
      const { write } = yield* socket.writer
      for (;;) {
        for (const text of yield* pull) {
          received.push(...text.split("\n").filter((line) => line !== ""))
          yield* write(text)
        }
      }
    }).pipe(Effect.scoped, Effect.ignore)
  ))
  return { port: "port" in address ? address.port : 0, received }
})

const stage = Effect.gen(function*() {
  const context = yield* Layer.build(server("127.0.0.1"))
  const { port, received } = yield* Effect.provideContext(echo, context)
  const proxy = StoreFaults.layer({
    protocol: lines,
    upstream: NodeSocket.makeNet({ host: "127.0.0.1", port }),
    reset: Effect.map(NodeSocket.NetSocket, (socket) => socket.resetAndDestroy())
  }).pipe(Layer.provide(server("127.0.0.1")))
  const faults = yield* Effect.provide(
    StoreFaults.StoreFaults,
    yield* Effect.map(Layer.build(proxy), Layer.succeedContext)
  )
  const connect = Effect.gen(function*() {
    const socket = yield* NodeSocket.makeNet({ host: "127.0.0.1", port: faults.port })
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    return {
      send: (line: string) => write(`${line}\n`),
      /** The next lines, or the word for how the connection has ended. */
      next: Effect.match(pull, {
        onSuccess: (texts) => texts.join("").trim(),
        onFailure: ({ reason }) => reason._tag === "SocketReadError" ? "reset" : "closed"
      })
    }
  })
  return { connect, faults, received }
})

describe("StoreFaults", () => {
  it.live("passes everything on while nothing is planned, and says what came by", () =>
    Effect.gen(function*() {
      const { connect, faults } = yield* stage
      const { next, send } = yield* connect
      yield* send("one")
      assert.strictEqual(yield* next, "one")
      assert.deepStrictEqual(yield* faults.requests, [{ number: 1, connection: 1, text: "one\n" }])
      assert.strictEqual(yield* faults.struck, 0)
    }).pipe(Effect.scoped))

  for (const [cut, word] of [["close", "closed"], ["reset", "reset"]] as const) {
    it.live(`loses a request, or its reply: ${cut}`, () =>
      Effect.gen(function*() {
        const { connect, faults, received } = yield* stage
        for (const fault of [StoreFaults.dropRequest({ cut }), StoreFaults.dropReply({ cut })]) {
          const { next, send } = yield* connect
          yield* faults.plan({ fault, when: /^lost/g })
          yield* send("kept")
          assert.strictEqual(yield* next, "kept")
          yield* send("lost")
          assert.strictEqual(yield* next, word)
          assert.strictEqual(yield* faults.struck, 1)
        }
        assert.deepStrictEqual(received, ["kept", "kept", "lost"])
      }).pipe(Effect.scoped))
  }

  it.live("leaves a connection half-open until its client is told", () =>
    Effect.gen(function*() {
      const { connect, faults, received } = yield* stage
      const [first, second] = [yield* connect, yield* connect]
      yield* faults.plan({ fault: StoreFaults.dropReply({ cut: "halfOpen" }) })
      yield* first.send("one")
      yield* faults.untilStruck(1)
      const silent = yield* Effect.forkScoped(first.next)
      yield* second.send("two")
      assert.strictEqual(yield* second.next, "two")
      assert.isUndefined(silent.pollUnsafe())
      yield* faults.cutOff
      assert.strictEqual(yield* Fiber.join(silent), "reset")
      assert.deepStrictEqual(received, ["one", "two"])
    }).pipe(Effect.scoped))

  it.live("holds a request, or a reply, and what comes behind it, for as long as it is told", () =>
    Effect.gen(function*() {
      const { connect, faults, received } = yield* stage
      const { next, send } = yield* connect
      const gate = Latch.makeUnsafe(false)
      yield* faults.plan({ fault: StoreFaults.delayRequest(gate.await) })
      yield* send("held")
      yield* faults.untilStruck(1)
      assert.deepStrictEqual(received, [])
      yield* gate.open
      assert.strictEqual(yield* next, "held")
      yield* faults.plan({ fault: StoreFaults.delayReply("1 millis") })
      yield* send("late")
      assert.strictEqual(yield* next, "late")
    }).pipe(Effect.scoped))

  it.live("delivers a request that was held also when its sender has gone", () =>
    Effect.gen(function*() {
      const { connect, faults, received } = yield* stage
      const gate = Latch.makeUnsafe(false)
      yield* faults.plan({ fault: StoreFaults.delayRequest(gate.await) })
      yield* Effect.scoped(Effect.gen(function*() {
        const { send } = yield* connect
        yield* send("orphan")
        yield* faults.untilStruck(1)
      }))
      yield* gate.open
      const { next, send } = yield* connect
      for (let tries = 0; tries < 100 && !received.includes("orphan"); tries++) {
        yield* send("ping")
        yield* next
      }
      assert.include(received, "orphan")
    }).pipe(Effect.scoped))

  it.live("counts by rule, from the nth on and so many times, and the first rule that strikes has it", () =>
    Effect.gen(function*() {
      const { connect, faults, received } = yield* stage
      const gate = Latch.makeUnsafe(true)
      yield* faults.plan(
        { when: ({ text }) => text.startsWith("b"), nth: 2, times: 2, fault: StoreFaults.delayRequest(gate.await) },
        { nth: 4, fault: StoreFaults.dropRequest() },
        { nth: 6, fault: StoreFaults.dropRequest() }
      )
      const { next, send } = yield* connect
      for (const line of ["a", "b", "b", "b", "b"]) {
        yield* send(line)
        assert.strictEqual(yield* next, line)
      }
      assert.strictEqual(yield* faults.struck, 2)
      yield* send("a")
      assert.strictEqual(yield* next, "closed")
      assert.deepStrictEqual(received, ["a", "b", "b", "b", "b"])
    }).pipe(Effect.scoped))

  it.live("listens on the loopback interface alone", () =>
    Effect.gen(function*() {
      const layer = StoreFaults.layer({
        protocol: lines,
        upstream: NodeSocket.makeNet({ port: 1 }),
        reset: Effect.void
      }).pipe(Layer.provide(server("0.0.0.0")))
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("127.0.0.1"))
    }))
})
