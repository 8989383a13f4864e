/** How a process of a kill test strikes itself at the point that it is told. */
import { Effect } from "effect"
import type { Signal } from "./wire.ts"

export interface Armed<Point> {
  readonly arm: (given: { readonly point: Point; readonly passes: number; readonly signal: Signal }) => void
  /** Strikes when it is its turn. */
  readonly pass: (point: Point) => Effect.Effect<void>
  /** The same, once what is begun now has left: a statement is on its way and its answer is not there. */
  readonly passSoon: (point: Point) => void
}

export const make = <Point>(onStrike: (point: Point, signal: Signal) => void): Armed<Point> => {
  let armed: { point: Point; passes: number; signal: Signal } | undefined
  const isHit = (point: Point): Signal | undefined => {
    if (armed?.point !== point || --armed.passes > 0) return undefined
    const { signal } = armed
    armed = undefined
    return signal
  }
  const strike = (point: Point, signal: Signal): void => {
    onStrike(point, signal)
    process.kill(process.pid, signal)
    // Until the signal is there nothing goes on.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  }
  return {
    arm: (given) => {
      armed = { ...given }
    },
    pass: (point) =>
      Effect.sync(() => {
        const signal = isHit(point)
        if (signal !== undefined) strike(point, signal)
      }),
    passSoon: (point) => {
      const signal = isHit(point)
      if (signal !== undefined) setImmediate(() => strike(point, signal))
    }
  }
}
