/**
 * What a saga on a workflow engine keeps there: the workflow, the answers of its activities, and the deferreds by which
 * others talk to a run and it to them.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import { DurableDeferred, Workflow } from "../effect/workflow.ts"
import { Event } from "../saga/record.ts"
import type { Untyped } from "../saga/step.ts"

/** @internal The workflow's name is one of 150 characters in the tables of the cluster. */
export const nameLengthMax = 120

const optional = Schema.optionalKey

/** Millis on the clock of the process that answered, and what the next activity knows itself by. */
const stamp = { at: Schema.Number, nonce: Schema.String }

const Phases = Schema.Array(Schema.String)

const End = Schema.Union([
  Schema.TaggedStruct("Succeeded", { result: Schema.String }),
  Schema.TaggedStruct("Failed", {
    detail: Schema.String,
    error: optional(Schema.String),
    parks: optional(Schema.Boolean)
  }),
  Schema.TaggedStruct("Unknown", { detail: Schema.String, isVerifiable: Schema.Boolean }),
  Schema.TaggedStruct("Refuses", { reason: Schema.String })
])

/** @internal */
export const Begun = Schema.Struct({ ...stamp, definition: Schema.String })

/**
 * @internal One try of a step.
 *
 * - `Ran`: `again` is the pause before the next try, `sent` the phases that may have left; without it nobody knows which.
 * - `Lost`: an earlier process may have run it. Nothing was sent now.
 * - `Unsent`: someone wanted the run undone before it left.
 */
export const Ran = Schema.Union([
  Schema.TaggedStruct("Ran", {
    ...stamp,
    end: End,
    again: optional(Schema.Number),
    isDoubtful: Schema.Boolean,
    sent: optional(Phases),
    decisive: Phases
  }),
  Schema.TaggedStruct("Lost", { ...stamp, cancel: Schema.Boolean }),
  Schema.TaggedStruct("Unsent", stamp)
])
/** @internal */
export type Ran = typeof Ran.Type

/** @internal */
export const Verified = Schema.Struct({
  ...stamp,
  verdict: Schema.Union([
    Schema.TaggedStruct("Happened", { result: Schema.String }),
    Schema.TaggedStruct("Refused", {
      detail: Schema.String,
      error: optional(Schema.String),
      parks: optional(Schema.Boolean)
    }),
    Schema.TaggedStruct("NeverHappened", {}),
    Schema.TaggedStruct("NotSeen", {}),
    Schema.TaggedStruct("StillUnknown", {})
  ]),
  again: optional(Schema.Number),
  isExhausted: Schema.Boolean,
  cancel: Schema.Boolean
})

/** @internal One try of an undo. */
export const Undid = Schema.Struct({
  ...stamp,
  undo: Schema.Union([
    Schema.TaggedStruct("Undone", {}),
    Schema.TaggedStruct("Skipped", { by: Schema.String, reason: Schema.String }),
    Schema.TaggedStruct("Failed", {
      detail: Schema.String,
      sent: optional(Phases),
      isRefused: Schema.Boolean
    })
  ]),
  again: optional(Schema.Number)
})
/** @internal */
export type Undid = typeof Undid.Type

/** @internal What has come for a step that waits. */
export const Looked = Schema.Struct({ ...stamp, value: optional(Schema.String), cancel: Schema.Boolean })

/** @internal What the steps of a group know themselves by, in order. */
export const Entered = Schema.Struct({ ...stamp, nonces: Schema.Array(Schema.String), cancel: Schema.Boolean })

const Wish = Schema.Literals(["Resume", "Cancel"])

/** @internal Who is stuck: whether it was told now, or wanted undone before. */
export const Told = Schema.Struct({ ...stamp, cancel: Schema.Boolean })

/** @internal */
export const Woken = Schema.Struct({ ...stamp, wish: Wish, cancel: Schema.Boolean })

/** @internal How a run stands: its events tell it. */
export const History = Schema.Struct({
  definition: Schema.String,
  payload: Schema.String,
  events: Schema.Array(Event)
})
/** @internal */
export type History = typeof History.Type

/** @internal `cancelKnown`: the wish to undo it has been seen. */
const Stuck = Schema.Struct({ history: History, cancelKnown: Schema.Boolean })

/** @internal `sender` is new with each call, so that who was first knows it. */
const Sent = Schema.Struct({ sender: Schema.String, event: Schema.String, value: Schema.String })

const Payload = Schema.Struct({ id: Schema.String, payload: Schema.String })

/** @internal */
export type SagaWorkflow = Workflow.Workflow<string, typeof Payload, typeof History, typeof Schema.Never>

const workflows = new WeakMap<Untyped, SagaWorkflow>()

/** @internal One and the same for a saga: an engine takes another one for a duplicate. */
export const workflowOf = (saga: Untyped): SagaWorkflow => {
  let workflow = workflows.get(saga)
  if (workflow === undefined) {
    workflow = Workflow.make(`Saga/${saga.name}`, {
      payload: Payload,
      success: History,
      idempotencyKey: ({ id }) => id
      // A storage that fails is no end of the run: it is replayed, on this runner or another.
    }).annotate(Workflow.CaptureDefects, false)
    workflows.set(saga, workflow)
  }
  return workflow
}

// --- deferreds: the first to complete one is the one who counts

/** @internal The fingerprint of the payload that the id belongs to. */
export const opening = DurableDeferred.make("Saga/opening", { success: Schema.String })

/** @internal Someone wants the run undone. */
export const cancelled = DurableDeferred.make("Saga/cancel")

/** @internal The message of a step. */
export const message = (step: string) => DurableDeferred.make(`Saga/signal/${step}`, { success: Sent })

/** @internal The run is stuck for the nth time. */
export const stuck = (times: number) => DurableDeferred.make(`Saga/stuck/${times}`, { success: Stuck })

/** @internal What someone wants of the run that is stuck for the nth time. */
export const wake = (times: number) => DurableDeferred.make(`Saga/wake/${times}`, { success: Wish })

/** @internal The run cannot go on under the definition of this hash, for what differs. */
export const redefined = (hash: string) => DurableDeferred.make(`Saga/redefined/${hash}`, { success: Schema.String })

/** @internal How often a run may be resumed. */
export const wakesMax = 1_000
