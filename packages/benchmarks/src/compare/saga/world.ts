// The world outside: a ledger of what was sent to it, a line each, in a file that all processes share. It takes everything
// that it is sent, as often as it is sent.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

export const names = ["reserve", "authorize", "capture", "ship", "notify"] as const
export type Name = (typeof names)[number]

/**
 * What becomes of a call, by its name; what is not in it goes well.
 *
 * - `declines`: it did not happen. `declines late`: once all beside it was sent.
 * - `times out`: it happened, and nobody is told.
 * - `fails`, `is held`: an undo that fails, or is not sent, until the world is mended.
 * - `sleeps`: an undo that waits before it is sent, by the means of its engine.
 */
export type Fate = "declines" | "declines late" | "fails" | "is held" | "sleeps" | "times out"

export interface Payload {
  readonly id: string
  readonly ledger: string
  readonly amount: number
  /** The first two steps at the same time. */
  readonly isGroup: boolean
  readonly plan: { readonly [call: string]: string }
}

export class Declined extends Error {
  override readonly name = "Declined"
}

class TimedOut extends Error {
  override readonly name = "TimedOut"
}

export const read = (ledger: string): ReadonlyArray<string> =>
  existsSync(ledger) ? readFileSync(ledger, "utf8").split("\n").slice(0, -1) : []

/** From now on what fails goes well. */
export const mend = (ledger: string): void => writeFileSync(`${ledger}.mended`, "")

/** Waits for a line; true when it has come. */
export const appears = async (ledger: string, line: string, millis: number): Promise<boolean> => {
  for (const until = Date.now() + millis; Date.now() < until; await sleep(10)) {
    if (read(ledger).includes(line)) return true
  }
  return false
}

/** Waits until a call is held. */
export const isHeld = async (ledger: string, millis: number): Promise<void> => {
  for (const until = Date.now() + millis; !existsSync(`${ledger}.held`); await sleep(10)) {
    if (Date.now() > until) throw new Error("nothing has come to where it is held")
  }
}

const hangs = new Map<string, string>()

/** In this process this call of this saga is sent, and then nothing more happens to it. */
export const hang = (id: string, call: string): void => {
  hangs.set(id, call)
}

/** Sends a call: a step by its name, an undo as `undo NAME`. */
export const send = async ({ id, isGroup, ledger, plan }: Payload, call: string): Promise<{ readonly id: string }> => {
  const fate = plan[call] as Fate | undefined
  if (fate === "declines late") await appears(ledger, "reserve", 20_000)
  if (fate === "declines" || fate === "declines late") throw new Declined(call)
  if (fate === "fails" && !existsSync(`${ledger}.mended`)) throw new Error(`${call} fails`)
  if (fate === "is held") {
    writeFileSync(`${ledger}.held`, "")
    while (!existsSync(`${ledger}.mended`)) await sleep(10)
  }
  appendFileSync(ledger, `${call}\n`)
  if (hangs.get(id) === call) await new Promise(() => undefined)
  if (fate === "times out") throw new TimedOut(call)
  // Its sibling fails before it has answered.
  if (isGroup && call === "reserve") await sleep(300)
  return { id: call }
}

/** Whether a step has happened. */
export const happened = ({ ledger }: Payload, name: Name): boolean => read(ledger).includes(name)
