/**
 * A process of `worker.main.ts`, as its callers and whoever strikes it see it.
 */
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { type Answer, type Call, FromWorker, Job, type Point, type Signal, ToWorker } from "./wire.ts"

export interface Worker {
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
  readonly kill: (signal: Signal | "SIGCONT") => void
  /** Lets it end. */
  readonly leave: () => void
}

export interface Program {
  /** One file of JavaScript: see `bundle.ts`. */
  readonly path: string
  readonly env: Readonly<Record<string, string | undefined>>
}

const encodeJob = Schema.encodeSync(Schema.fromJsonString(Job))
const encode = Schema.encodeSync(ToWorker)
const decode = Schema.decodeOption(FromWorker)

/** Starts it; it is killed with the scope. `onStray` is asked to wake one that froze when nobody waited for it. */
export const start = Effect.fnUntraced(function*(program: Program, job: Job, onStray: (worker: Worker) => void) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [program.path, encodeJob(job)], {
        stdio: ["pipe", "pipe", "inherit"],
        env: program.env
      })
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  const waiting = new Map<number, (answer: Answer | undefined) => void>()
  const signals = { up: makeGate(), ended: makeGate() }
  let answered = 0
  let onStruck: ((point: Point) => void) | undefined
  const worker: Worker = {
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
    kill: (signal) => void child.kill(signal),
    leave: () => void child.stdin.end()
  }
  // It dies at any time: what is written to it then is lost, as it has to be.
  child.stdin.on("error", () => {})
  createInterface({ input: child.stdout }).on("line", (text) => {
    const decoded = decode(text)
    // The last line of one that was killed may be half a line.
    if (decoded._tag === "None") return
    const line = decoded.value
    switch (line._tag) {
      case "Up":
        return signals.up.open()
      case "Answered":
        answered++
        return waiting.get(line.id)?.(line.answer)
      case "Struck":
        if (onStruck === undefined) return onStray(worker)
        onStruck(line.point)
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
