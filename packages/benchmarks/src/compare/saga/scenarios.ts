// What is asked: a plan for the world, what the processes do, and what the ledger must say at the end. Demands and losses are
// sentences of the docs; what was seen is told in words that are the same in each run.
import type { Verdict } from "../table.ts"
import type { Caller, End } from "./contender.ts"
import { appears, isHeld, mend, type Payload, read } from "./world.ts"

export interface Stage {
  readonly caller: Caller
  /** A saga of its own. */
  readonly payload: (plan: Payload["plan"], options?: { readonly isGroup: boolean }) => Payload
}

/** What the process is called that comes after the one that was killed. */
export type Next = "another" | "same" | "upgraded"

/** The process is killed where the saga hangs. */
export interface Kill {
  readonly plan: Payload["plan"]
  readonly hangAt: string
  readonly next: Next
  /** How the next process finds it. */
  readonly judge: (payload: Payload, end: End) => Verdict
}

export interface Scenario {
  readonly name: string
  readonly demand: string
  readonly loss: string
  readonly run: ((stage: Stage) => Promise<Verdict>) | Kill
}

// Long enough for what has to come; what has not come then does not.
const endMillis = 12_000

const finished = async ({ caller }: Stage, payload: Payload): Promise<End> => {
  await caller.start(payload)
  return caller.ended(payload, endMillis)
}

const undosOf = ({ ledger }: Payload): ReadonlyArray<string> => read(ledger).filter((line) => line.startsWith("undo "))

const count = ({ ledger }: Payload, call: string): number => read(ledger).filter((line) => line === call).length

const holds: Verdict = { holds: true, seen: "" }
const fails = (seen: string): Verdict => ({ holds: false, seen })

/** The first thing that is wrong. */
const verdict = (...wrongs: ReadonlyArray<readonly [isWrong: boolean, seen: string]>): Verdict => {
  const wrong = wrongs.find(([isWrong]) => isWrong)
  return wrong === undefined ? holds : fails(wrong[1])
}

const missing = (payload: Payload, ...steps: ReadonlyArray<string>): ReadonlyArray<readonly [boolean, string]> =>
  steps.map((step) => [count(payload, `undo ${step}`) === 0, `${step} is not undone`] as const)

const twice = (payload: Payload, ...calls: ReadonlyArray<string>): ReadonlyArray<readonly [boolean, string]> =>
  calls.map((call) => [count(payload, call) > 1, `"${call}" is sent more than once`] as const)

const notEnded = ({ state }: End): ReadonlyArray<readonly [boolean, string]> => [
  [state === "Missing" || state === "Open", "it does not end"]
]

const backwards = ["undo capture", "undo authorize", "undo reserve"]

export const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "reverse order",
    demand: "a refused step: those before it are undone, the last first, and the error is told",
    loss: "money stays taken for what was not delivered.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines" })
      const { error } = await finished(stage, payload)
      return verdict(
        [undosOf(payload).join() !== backwards.join(), "not undone in order"],
        [error !== "Declined", "the error is not told"]
      )
    }
  },
  {
    name: "happened without an answer",
    demand: "a step that happened and timed out is not left standing",
    loss: "an authorization that nobody will void holds the payer's money.",
    run: async (stage) => {
      const payload = stage.payload({ authorize: "times out", ship: "declines" })
      await finished(stage, payload)
      return verdict(...missing(payload, "authorize", "reserve"))
    }
  },
  {
    name: "pivot in doubt",
    demand: "a last step that happened and timed out: nothing before it is undone",
    loss: "the parcel is on its way and the money is given back.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "times out" })
      await finished(stage, payload)
      return verdict(
        [count(payload, "ship") === 0, "not shipped"],
        [undosOf(payload).length > 0, "undone although it shipped"]
      )
    }
  },
  {
    name: "sibling in a group",
    demand: "a step beside one that fails has left already: it is undone too",
    loss: "what was sent at the same time stays taken.",
    run: async (stage) => {
      const payload = stage.payload({ authorize: "declines late" }, { isGroup: true })
      await finished(stage, payload)
      await appears(payload.ledger, "undo reserve", 3000)
      return verdict(...missing(payload, "reserve"))
    }
  },
  {
    name: "undo that waits",
    demand: "an undo that waits before it is sent is done, once and in its place",
    loss: "the undo is forgotten, or those around it run over and over.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines", "undo authorize": "sleeps" })
      const end = await finished(stage, payload)
      return verdict(
        ...missing(payload, "capture", "authorize", "reserve"),
        ...twice(payload, ...backwards),
        [undosOf(payload).join() !== backwards.join(), "not undone in order"],
        ...notEnded(end)
      )
    }
  },
  {
    name: "undo that fails",
    demand: "the other undos still run",
    loss: "one undo that fails keeps all the others from running.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines", "undo authorize": "fails" })
      await finished(stage, payload)
      return verdict(...missing(payload, "capture", "reserve"), ...twice(payload, "undo capture", "undo reserve"))
    }
  },
  {
    name: "what is told of it",
    demand: "an undo that fails: the saga ends, with the first error and the name of that undo",
    loss: "nobody knows what failed first, or that something is left to undo.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines", "undo authorize": "fails" })
      const end = await finished(stage, payload)
      return verdict(
        ...notEnded(end),
        [end.error !== "Declined", "the first error is gone"],
        [end.failedUndos.join() !== "authorize", "the undo is not named"]
      )
    }
  },
  {
    name: "resumed by an operator",
    demand: "an undo that failed is done once the cause is mended, and no other again",
    loss: "the only way out is by hand, outside the engine.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines", "undo authorize": "fails" })
      await finished(stage, payload)
      mend(payload.ledger)
      await stage.caller.resume(payload)
      await Promise.all(backwards.map((line) => appears(payload.ledger, line, 8000)))
      return verdict(
        ...missing(payload, "authorize", "capture", "reserve"),
        ...twice(payload, "undo capture", "undo reserve", "ship")
      )
    }
  },
  {
    name: "cancelled while it is undone",
    demand: "a cancellation during the undoing does not stop it",
    loss: "half is undone, half is not, and the saga is over.",
    run: async (stage) => {
      const payload = stage.payload({ ship: "declines", "undo authorize": "is held" })
      await stage.caller.start(payload)
      await isHeld(payload.ledger, endMillis)
      const { answered, taken } = stage.caller.cancel(payload)
      await taken
      mend(payload.ledger)
      await answered
      await appears(payload.ledger, "undo reserve", endMillis)
      return verdict(...missing(payload, "authorize", "reserve"))
    }
  },
  {
    name: "same id, other payload",
    demand: "an id that stands for something else is refused",
    loss: "a caller is told how another order ended.",
    run: async ({ caller, payload: make }) => {
      const payload = make({})
      await caller.start(payload)
      await caller.ended(payload, endMillis)
      return verdict([
        (await caller.start({ ...payload, amount: payload.amount + 1 })) !== "Refused",
        "answered as if it were the same"
      ])
    }
  },
  {
    name: "killed before the answer is kept",
    demand: "the process is killed behind a call: it is not sent again unseen",
    loss: "the payer is charged twice, unless the gateway knows the key.",
    run: {
      plan: {},
      hangAt: "authorize",
      next: "same",
      judge: (payload, end) =>
        verdict(
          ...notEnded(end),
          ...twice(payload, "reserve", "authorize", "capture", "ship"),
          [end.state !== "Completed", "not completed"]
        )
    }
  },
  {
    name: "killed while it is undone",
    demand: "the process is killed behind an undo: the rest is undone after a restart",
    loss: "half is undone, half is not.",
    run: {
      plan: { ship: "declines" },
      hangAt: "undo capture",
      next: "same",
      judge: (payload, end) =>
        verdict(
          ...notEnded(end),
          ...missing(payload, "authorize", "reserve"),
          ...twice(payload, "reserve", "authorize", "capture")
        )
    }
  },
  {
    name: "another process",
    demand: "the same, by a process of another name that is told nothing of the dead one",
    loss: "what a dead process was at stays as it is until someone names it.",
    run: {
      plan: { ship: "declines" },
      hangAt: "undo capture",
      next: "another",
      judge: (payload, end) => verdict(...notEnded(end), ...missing(payload, "authorize", "reserve"))
    }
  },
  {
    name: "a new version",
    demand: "the same, by a process of a new version whose saga has one more step",
    loss: "a deploy strands what is under way.",
    run: {
      plan: { ship: "declines" },
      hangAt: "undo capture",
      next: "upgraded",
      judge: (payload, end) => verdict(...notEnded(end), ...missing(payload, "authorize", "reserve"))
    }
  }
]
