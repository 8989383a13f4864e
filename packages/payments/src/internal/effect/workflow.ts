/**
 * Effect's workflow modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Activity from "effect/workflow/Activity"
export * as DurableClock from "effect/workflow/DurableClock"
export * as DurableDeferred from "effect/workflow/DurableDeferred"
export * as Workflow from "effect/workflow/Workflow"
export * as WorkflowEngine from "effect/workflow/WorkflowEngine"
