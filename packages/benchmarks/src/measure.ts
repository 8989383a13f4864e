// Times contenders in turns, round after round, so that what slows the machine for a while slows all of them, and their
// ratios are taken within a round.

/** What is timed: a call, sync or async. With `operations` one call does that many, and the time is that of one. */
export type Contender =
  | (() => unknown)
  | { readonly run: () => unknown; readonly operations: number }

export interface Measured<Name extends string> {
  /** The median over the rounds, in nanoseconds per operation. */
  readonly nanoseconds: Readonly<Record<Name, number>>
  /** The median over the rounds of the time of `of` through the time of `to` in the same round. */
  readonly ratio: (of: Name, to: Name) => number
}

export interface MeasureOptions {
  /** How many rounds are counted. Default 15. */
  readonly rounds?: number
  /** Calls per round; by default as many as fill `roundMillis`, found out in a round that is not counted. */
  readonly iterations?: number
  /** How long one contender's part of a round is to last, in milliseconds. Default 40. */
  readonly roundMillis?: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}

const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && "then" in value

// A sync contender is not awaited: the turn of the microtask queue would be in its time.
const elapsed = async (run: () => unknown, iterations: number, isAsync: boolean): Promise<number> => {
  const begin = process.hrtime.bigint()
  if (isAsync) { for (let i = 0; i < iterations; i++) await run() }
  else for (let i = 0; i < iterations; i++) run()
  return Number(process.hrtime.bigint() - begin)
}

const prepare = async <Name extends string>(name: Name, contender: Contender, options: MeasureOptions) => {
  const { operations, run } = typeof contender === "function" ? { run: contender, operations: 1 } : contender
  const first = run()
  const isAsync = isPromise(first)
  await first
  const budget = (options.roundMillis ?? 40) * 1e6
  let iterations = options.iterations ?? 1
  // Also the warm-up: doubled until a round lasts long enough, then fitted.
  if (options.iterations === undefined) {
    let spent = await elapsed(run, iterations, isAsync)
    while (spent < budget / 2 && iterations < 1 << 24) {
      iterations *= 2
      spent = await elapsed(run, iterations, isAsync)
    }
    iterations = Math.max(1, Math.round((iterations * budget) / Math.max(spent, 1)))
  } else {
    await elapsed(run, iterations, isAsync)
  }
  return { name, run, operations, isAsync, iterations, times: [] as Array<number> }
}

export const measure = async <Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  options: MeasureOptions = {}
): Promise<Measured<Name>> => {
  const all: Array<Awaited<ReturnType<typeof prepare<Name>>>> = []
  for (const name of Object.keys(contenders) as Array<Name>) {
    all.push(await prepare(name, contenders[name], options))
  }
  const rounds = options.rounds ?? 15
  for (let round = 0; round < rounds; round++) {
    // Another one begins each round: what comes first pays for the garbage of what came last.
    for (let i = 0; i < all.length; i++) {
      const one = all[(i + round) % all.length]
      if (one === undefined) continue
      one.times.push(await elapsed(one.run, one.iterations, one.isAsync) / one.iterations / one.operations)
    }
  }
  const times = (name: Name) => all.find((x) => x.name === name)?.times ?? []
  return {
    nanoseconds: Object.fromEntries(all.map((x) => [x.name, median(x.times)])) as Record<Name, number>,
    ratio: (of, to) => {
      const below = times(to)
      return median(times(of).map((x, i) => x / (below[i] ?? Number.NaN)))
    }
  }
}
