/**
 * `payctl idempotency`: what a store of idempotency records holds, and an operator's word on what nobody knows.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { align } from "./columns.ts"
import * as duration from "./duration.ts"
import { BadInput, Declined } from "./failure.ts"
import { evict, resolve } from "./idempotencyChange.ts"
import * as shown from "./idempotencyRecord.ts"
import { find, nowOf, scan } from "./idempotencySearch.ts"
import {
  jsonFlag,
  named,
  nameOf,
  optionsOf,
  requireRecord,
  scopeFlags,
  storeOptions,
  withStore
} from "./idempotencyStore.ts"
import { makeProgress } from "./progress.ts"

// --- list

const limitDefault = 50
const limitMax = 10_000

const states = ["Vacant", "Claimed", "Resolving", "Succeeded", "Refused", "Indeterminate", "Parked"] as const

const list = Command.make(
  "list",
  {
    ...storeOptions,
    ...scopeFlags,
    state: Flag.Literals("state", states).pipe(Flag.withDescription("Only those in this state"), Flag.optional),
    stuck: Flag.Boolean("stuck").pipe(
      Flag.withDescription("Only what nobody works on and nobody knows: Indeterminate, Parked, and lapsed claims"),
      Flag.withDefault(false)
    ),
    olderThan: Flag.String("older-than").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("Only what has not changed for so long, such as 15m or 2d"),
      Flag.optional
    ),
    limit: Flag.Int("limit").pipe(
      Flag.filter((n) => n >= 1 && n <= limitMax, () => `from 1 to ${limitMax}`),
      Flag.withDescription(`How many at the most (default: ${limitDefault})`),
      Flag.withDefault(limitDefault)
    ),
    after: Flag.String("after").pipe(
      Flag.withMetavar("REFERENCE"),
      Flag.withDescription("Go on behind this record, the last one of the page before (next in the JSON)"),
      Flag.optional
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ after, json, limit, olderThan, state, stuck, ...options }) {
    const age = yield* readAge(Option.getOrUndefined(olderThan))
    const { scopeVersion, ...scope } = optionsOf(options)
    yield* withStore(options, "read", ({ store }) =>
      Effect.gen(function*() {
        const progress = yield* makeProgress
        const now = yield* nowOf(store)
        const cursor = Option.isNone(after) ?
          undefined :
          yield* behind(after.value, (isWanted) => find({ store, progress, scope, isWanted }))
        const records = yield* scan({
          ...scope,
          store,
          progress,
          state: Option.getOrUndefined(state),
          stuck,
          after: cursor,
          limit: limit + 1,
          isWanted: (record) =>
            Effect.succeed(
              (scopeVersion === undefined || record.scope.version === scopeVersion) && now - record.updatedAt >= age
            )
        })
        yield* progress.clear
        const page = records.slice(0, limit)
        const last = records.length > limit ? page.at(-1) : undefined
        const next = last === undefined ? null : shown.referenceOf(last)
        if (json) {
          const all = page.map((record) => shown.toShown(record, now))
          return yield* Console.log(JSON.stringify({ records: all, next, now: new Date(now).toISOString() }, null, 2))
        }
        if (page.length === 0) return yield* Console.log("no such records")
        const rows = align([shown.header, ...page.map((record) => shown.toRow(record, now))])
        yield* Console.log([...rows, ...next === null ? [] : [`... and more: --after ${next}`]].join("\n"))
      }))
  })
).pipe(
  Command.withDescription(
    "Lists idempotency records in a stable order. A record is named by its reference, since its id holds the client's key, "
      + "which is never printed"
  ),
  Command.withShortDescription("List records"),
  Command.withExamples([
    {
      command: "payctl idempotency list --stuck",
      description: "What waits for somebody, where DATABASE_URL or REDIS_URL is set"
    },
    {
      command: "payctl idempotency list --sqlite payments.db --state Parked --older-than 1h --json",
      description: "The same for a program: parked for an hour, in a file"
    },
    {
      command:
        "payctl idempotency list --tenant acme --operation charge --limit 1000 --after rec_0123456789abcdef01234567",
      description: "The next page of one operation"
    }
  ])
)

const readAge = (text: string | undefined): Effect.Effect<number, BadInput> => {
  if (text === undefined) return Effect.succeed(Number.NEGATIVE_INFINITY)
  const age = duration.parse(text)
  return age === undefined
    ? Effect.fail(new BadInput({ what: "--older-than: no time such as 15m, 36h or 2 days" }))
    : Effect.succeed(Duration.toMillis(age))
}

const behind = Effect.fnUntraced(function*<E, R>(
  reference: string,
  find: (isWanted: Parameters<typeof scan>[0]["isWanted"]) => Effect.Effect<{ readonly id: string } | undefined, E, R>
) {
  if (!shown.referencePattern.test(reference)) {
    return yield* new BadInput({ what: "--after: no reference, such as rec_0123456789abcdef01234567" })
  }
  const record = yield* find((record) => Effect.succeed(shown.referenceOf(record) === reference))
  return record === undefined
    ? yield* new Declined({ what: `--after ${reference}: that record is gone. List anew, without --after` })
    : record.id
})

// --- inspect

const inspect = Command.make(
  "inspect",
  {
    ...storeOptions,
    ...named,
    withResult: Flag.Boolean("result").pipe(
      Flag.withDescription("Print the stored answer too, without card data. A sealed one stays sealed"),
      Flag.withDefault(false)
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ json, withResult, ...options }) {
    const name = yield* nameOf(options)
    yield* withStore(options, "read", (opened) =>
      Effect.gen(function*() {
        const { downstreamKeys, now, record } = yield* requireRecord(opened, name)
        const details = { downstreamKeys, withResult }
        yield* Console.log(
          json
            ? JSON.stringify(shown.toJson(record, now, details), null, 2)
            : align(shown.toRows(record, now, details)).join("\n")
        )
      }))
  })
).pipe(
  Command.withDescription(
    "Shows one record: by its reference, by a key that was sent to the gateway, or by the client's key, which is read from a "
      + "file or stdin. Ends with 1 when there is none"
  ),
  Command.withShortDescription("Show one record"),
  Command.withExamples([
    { command: "payctl idempotency inspect rec_0123456789abcdef01234567", description: "A record of the list" },
    {
      command:
        "payctl idempotency inspect ep1_0123456789abcdef0123456789abcdef01234567 --phase capture --result --json",
      description: "What became of a call that stands in a log or at the gateway, with the stored answer"
    },
    {
      command:
        "printf %s \"$KEY\" | payctl idempotency inspect --tenant acme --operation charge --scope-version 1 --key-file -",
      description: "The record of a client's key, which so is in no list of processes"
    }
  ])
)

/** @internal */
export const idempotency = Command.make("idempotency").pipe(
  Command.withDescription(
    "Looks into a store of idempotency records, and settles what nobody knows. Exit code: 0 done, 1 the answer is no, 2 an "
      + "option is wrong, 70 the store does not answer"
  ),
  Command.withShortDescription("List, show, settle and drop idempotency records"),
  Command.withSubcommands([list, inspect, resolve, evict])
)
