// A process that begins sagas that hang, to be killed there, or finds them in what another one has left, and tells how they
// have ended.
import type { End, Place } from "./contender.ts"
import { contenders } from "./contenders.ts"
import { hang, type Payload } from "./world.ts"

export interface Job {
  readonly contender: string
  readonly place: Place
  /** Each with where it hangs, in a process that begins them. */
  readonly sagas: ReadonlyArray<{ readonly payload: Payload; readonly hangAt: string }>
  readonly isFirst: boolean
  readonly millis: number
}

const work = async ({ contender, isFirst, millis, place, sagas }: Job): Promise<ReadonlyArray<End>> => {
  const found = contenders.find(({ name }) => name === contender)
  if (found === undefined) throw new Error(`no contender ${contender}`)
  const caller = await found.open(place)
  for (const { hangAt, payload } of isFirst ? sagas : []) {
    hang(payload.id, hangAt)
    await caller.start(payload)
  }
  return Promise.all(sagas.map(({ payload }) => caller.ended(payload, millis)))
}

work(JSON.parse(process.argv[2] ?? "") as Job).then(
  (ends) => process.send?.(ends, () => process.exit(0)),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  }
)
