import { assert, describe, it } from "vitest"
import { complete, differences, type Lock } from "./lock.ts"

const lock: Lock = {
  lockfileVersion: 3,
  packages: {
    "": { dependencies: { native: "1.0.0", core: "0.1.0" } },
    "node_modules/native": {
      version: "1.0.0",
      resolved: "https://registry.example/native.tgz",
      dev: true,
      optionalDependencies: { "native-linux-x64-musl": "1.0.0", "native-darwin-arm64": "1.0.0" }
    },
    "node_modules/core": { resolved: "packages/core", link: true },
    "node_modules/native-darwin-arm64": { version: "1.0.0", integrity: "sha512-x", optional: true },
    "packages/core": { version: "0.1.0", peerDependencies: { effect: "~4.1.0" } }
  }
}
const manifests = {
  "": { dependencies: { native: "1.0.0", core: "0.1.0" } },
  "packages/core": { version: "0.1.0", peerDependencies: { effect: "~4.1.0" } }
}

describe("complete", () => {
  it("adds the platforms that are missing, and keeps those that are there", () => {
    const { packages } = complete(lock)
    assert.deepStrictEqual(packages["node_modules/native-linux-x64-musl"], {
      version: "1.0.0",
      cpu: ["x64"],
      dev: true,
      libc: ["musl"],
      optional: true,
      os: ["linux"]
    })
    assert.strictEqual(packages["node_modules/native-darwin-arm64"]?.["integrity"], "sha512-x")
  })

  it("names no registry, but keeps the folders of the workspace", () => {
    const { packages } = complete(lock)
    assert.isUndefined(packages["node_modules/native"]?.resolved)
    assert.strictEqual(packages["node_modules/core"]?.resolved, "packages/core")
  })

  it("done twice changes nothing", () => {
    const once = complete(lock)
    assert.strictEqual(JSON.stringify(complete(once)), JSON.stringify(once))
  })
})

describe("differences", () => {
  it("there are none when the lock was made from the manifests", () => {
    assert.deepStrictEqual(differences(lock, manifests), [])
  })

  it.each([
    [{ "": { dependencies: { native: "1.0.1", core: "0.1.0" } } }, "native is 1.0.1, the lock has 1.0.0"],
    [{ "": { dependencies: { native: "1.0.0" } } }, "core is absent, the lock has 0.1.0"],
    [{ "": { dependencies: { native: "1.0.0", core: "^0.1.0" } } }, "core@^0.1.0 is not an exact version"],
    [{ "": { devDependencies: { left: "1.0.0" } } }, "left is 1.0.0, the lock installs nothing"],
    [{ "packages/core": { peerDependencies: { effect: "^4.1.0" } } }, "effect is ^4.1.0, the lock has ~4.1.0"],
    [{ "packages/new": { version: "0.1.0" } }, "packages/new/package.json: not in the lock"]
  ])("%j", (changed, message) => {
    assert.include(differences(lock, { ...manifests, ...changed }).join("\n"), message)
  })
})
