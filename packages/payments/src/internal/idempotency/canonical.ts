/**
 * The canonical and the stored form of values, which sagas use too.
 *
 * @internal
 */
export { type Codec, codecOf } from "../stack/canonical.ts"
