/**
 * A process of a kill test, as its callers and whoever strikes it see it.
 */
import { Effect, type Option, Schema } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import type { Protocol, Signal } from "./wire.ts"

export interface Worker<Call, Answer, Point> {
  /** Whether it takes calls. One that is frozen does. */
  readonly isUp: () => boolean
  readonly up: Effect.Effect<void>
  readonly ended: Effect.Effect<void>
  /** How many calls it has answered. */
  readonly answered: () => number
  /** Undefined when the process ends without an answer. */
  readonly ask: (call: Call) => Effect.Effect<Answer | undefined>
  readonly arm: (point: Point, passes: number, signal: Signal) => void
  /** Waits until it has struck itself. */
  readonly struck: Effect.Effect<Point>
  /** Answers whether there was a process to send it to. */
  readonly kill: (signal: Signal | "SIGCONT") => boolean
  /** Whether it has ended by SIGKILL, and not by itself. */
  readonly isKilled: () => boolean
  /** Lets it end. */
  readonly leave: () => void
}

export interface Program {
  /** One file of JavaScript: see `bundle.ts`. */
  readonly path: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Starts it; it is killed with the scope. `onStray` is asked to wake one that froze when nobody waited for it. */
export const start = Effect.fnUntraced(function*<Job, Call extends { readonly id: number }, Answer, Point>(
  { fromWorker, job: jobSchema, toWorker }: Protocol<Job, Call, Answer, Point>,
  program: Program,
  job: Job,
  onStray: (worker: Worker<Call, Answer, Point>) => void
) {
  const encode = Schema.encodeSync(toWorker)
  const decode = Schema.decodeOption(fromWorker)
  const child = yield* spawned(program, Schema.encodeSync(Schema.fromJsonString(jobSchema))(job))
  const waiting = new Map<number, (answer: Answer | undefined) => void>()
  const signals = { up: makeGate(), ended: makeGate() }
  let answered = 0
  let onStruck: ((point: Point) => void) | undefined
  const worker: Worker<Call, Answer, Point> = {
    isUp: () => signals.up.isOpen() && !signals.ended.isOpen(),
    up: signals.up.wait,
    ended: signals.ended.wait,
    answered: () => answered,
    ask: (call) =>
      Effect.callback((resume) => {
        if (signals.ended.isOpen()) return resume(Effect.succeed(undefined))
        waiting.set(call.id, (answer) => resume(Effect.succeed(answer)))
        child.stdin.write(`${encode({ _tag: "Call", call })}\n`)
        return Effect.sync(() => void waiting.delete(call.id))
      }),
    arm: (point, passes, signal) => void child.stdin.write(`${encode({ _tag: "Arm", point, passes, signal })}\n`),
    struck: Effect.callback((resume) => {
      onStruck = (point) => resume(Effect.succeed(point))
      return Effect.sync(() => {
        onStruck = undefined
      })
    }),
    kill: (signal) => child.kill(signal),
    isKilled: () => child.signalCode === "SIGKILL",
    leave: () => void child.stdin.end()
  }
  // It dies at any time: what is written to it then is lost, as it has to be.
  child.stdin.on("error", () => {})
  readLines(child.stdout, decode, {
    Up: signals.up.open,
    Answered: ({ answer, id }) => {
      answered++
      waiting.get(id)?.(answer)
    },
    Struck: ({ point }) => {
      if (onStruck === undefined) return onStray(worker)
      onStruck(point)
      onStruck = undefined
    }
  })
  child.once("close", () => {
    signals.ended.open()
    signals.up.open()
    for (const resume of waiting.values()) resume(undefined)
  })
  return worker
})

const spawned = ({ env, path }: Program, job: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [path, job], { stdio: ["pipe", "pipe", "inherit"], env })),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

type From<Answer, Point> = Protocol<never, never, Answer, Point>["fromWorker"]["Type"]

const readLines = <Answer, Point>(
  output: Readable,
  decode: (text: string) => Option.Option<From<Answer, Point>>,
  on: {
    readonly Up: () => void
    readonly Answered: (line: Extract<From<Answer, Point>, { readonly _tag: "Answered" }>) => void
    readonly Struck: (line: Extract<From<Answer, Point>, { readonly _tag: "Struck" }>) => void
  }
): void => {
  createInterface({ input: output }).on("line", (text) => {
    const decoded = decode(text)
    // The last line of one that was killed may be half a line.
    if (decoded._tag === "None") return
    const line = decoded.value
    switch (line._tag) {
      case "Up":
        return on.Up()
      case "Answered":
        return on.Answered(line)
      case "Struck":
        return on.Struck(line)
    }
  })
}

interface Gate {
  readonly isOpen: () => boolean
  readonly open: () => void
  readonly wait: Effect.Effect<void>
}

const makeGate = (): Gate => {
  let isOpen = false
  const waiters = new Set<() => void>()
  return {
    isOpen: () => isOpen,
    open: () => {
      isOpen = true
      for (const resume of waiters) resume()
      waiters.clear()
    },
    wait: Effect.callback((resume) => {
      const go = () => resume(Effect.void)
      if (isOpen) return go()
      waiters.add(go)
      return Effect.sync(() => void waiters.delete(go))
    })
  }
}
