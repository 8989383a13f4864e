/**
 * The claim of an idempotent operation, which saga steps make too.
 *
 * @internal
 */
export { downstreamKey, OperationClaim } from "../stack/makeClaim.ts"
