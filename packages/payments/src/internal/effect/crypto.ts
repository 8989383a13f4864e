/**
 * Effect's crypto modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Digest from "effect/crypto/Digest"
export * as SecureRandom from "effect/crypto/SecureRandom"
