/**
 * The points of a saga at which its process can be struck, by name. A commit is struck before it is sent, while it is on its
 * way, and when it is there; what a step does to the world right before its request leaves and right after the answer.
 */
const steps = ["reserve", "authorize", "capture", "ship", "receipt"] as const
const undos = ["reserve", "authorize", "capture"] as const
const effects = [...steps, "release", "void", "refund", "lookup"] as const

/** `outcome capture`: the commit in which the capture is known to have happened or not, which also intends the next step. */
export type Commit =
  | `intent ${typeof steps[number]}`
  | `outcome ${typeof steps[number]}`
  | `undo ${typeof undos[number]}`

/** What reaches a service or the gateway. */
export type Effect = `effect ${typeof effects[number]}`

export type Point = `${"before" | "during" | "after"} ${Commit}` | `${"before" | "after"} ${Effect}` | "after claim"

const commits: ReadonlyArray<Commit> = [
  ...steps.flatMap((step) => [`intent ${step}`, `outcome ${step}`] as const),
  ...undos.map((step) => `undo ${step}` as const)
]

export const points: readonly [Point, ...ReadonlyArray<Point>] = [
  "after claim",
  ...commits.flatMap((commit): ReadonlyArray<Point> => [`before ${commit}`, `during ${commit}`, `after ${commit}`]),
  ...effects.flatMap((effect): ReadonlyArray<Point> => [`before effect ${effect}`, `after effect ${effect}`])
]

const known: ReadonlySet<string> = new Set(points)

export const isPoint = (name: string): name is Point => known.has(name)
