/**
 * Effect's crypto modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as Aead from "effect/crypto/Aead"
export * as Digest from "effect/crypto/Digest"
export * as SecureRandom from "effect/crypto/SecureRandom"
