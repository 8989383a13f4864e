/** A self-signed certificate for `localhost`, made on the spot: no client trusts it. */
import { generateKeyPairSync, sign } from "node:crypto"

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"))
const utcTime = (date: Date) => der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`))

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))
const commonName = (name: string) => sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(name)))))

export const selfSigned = (): { readonly key: string; readonly cert: string } => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
  const day = 86_400_000
  const unsigned = sequence(
    der(0x02, Buffer.from([1])),
    ecdsaWithSha256,
    commonName("localhost"),
    sequence(utcTime(new Date(Date.now() - day)), utcTime(new Date(Date.now() + day))),
    commonName("localhost"),
    publicKey.export({ type: "spki", format: "der" })
  )
  const signature = der(0x03, Buffer.from([0]), sign("sha256", unsigned, privateKey))
  const certificate = sequence(unsigned, ecdsaWithSha256, signature)
  return {
    key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    cert: `-----BEGIN CERTIFICATE-----\n${
      certificate.toString("base64").replace(/.{64}/g, "$&\n")
    }\n-----END CERTIFICATE-----\n`
  }
}
