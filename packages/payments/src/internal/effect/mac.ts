/**
 * Effect's HMAC, which is unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Mac from "effect/crypto/Mac"
