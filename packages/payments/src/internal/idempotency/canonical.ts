/**
 * The canonical and the stored form of values, which sagas use too.
 *
 * @internal
 */
export { type Codec, codecOf, type Fault } from "../stack/canonical.ts"
