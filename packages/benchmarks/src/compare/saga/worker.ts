// A process that begins a saga that hangs, to be killed there, or finds it in what another one has left, and tells how it has
// ended.
import type { End, Place } from "./contender.ts"
import { contenders } from "./contenders.ts"
import { hang, type Payload } from "./world.ts"

export interface Job {
  readonly contender: string
  readonly place: Place
  readonly payload: Payload
  /** Where it hangs, in the process that begins it. */
  readonly hangAt: string
  readonly isFirst: boolean
  readonly millis: number
}

const work = async ({ contender, hangAt, isFirst, millis, payload, place }: Job): Promise<End> => {
  const found = contenders.find(({ name }) => name === contender)
  if (found === undefined) throw new Error(`no contender ${contender}`)
  const caller = await found.open(place)
  if (isFirst) {
    hang(payload.id, hangAt)
    await caller.start(payload)
  }
  return caller.ended(payload, millis)
}

// It has nobody to work for any more.
process.once("disconnect", () => process.exit())
work(JSON.parse(process.argv[2] ?? "") as Job).then(
  (end) => process.send?.(end, () => process.exit(0)),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  }
)
