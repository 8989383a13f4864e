// A Redis of a contender's own: what is done to it must not be done to the ledger.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { createClient } from "redis"

export interface Server {
  readonly port: number
  readonly url: string
  readonly configure: (name: string, value: string) => Promise<void>
  /** It comes back empty. */
  readonly forget: () => Promise<void>
  readonly stop: () => Promise<void>
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** It keeps nothing on disk, and drops nothing when it is full. */
export const start = async (): Promise<Server> => {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const dir = mkdtempSync(join(tmpdir(), "compare-redis-"))
  const options = ["--bind", "127.0.0.1", "--port", `${port}`, "--dir", dir, "--save", "", "--appendonly", "no"]
  const child = spawn("redis-server", options, { stdio: "ignore" })
  const kill = () => void child.kill("SIGKILL")
  process.once("exit", kill)
  await once(child, "spawn")
  const client = await connect(url, child)
  return {
    port,
    url,
    configure: async (name, value) => void await client.configSet(name, value),
    forget: async () => void await client.flushAll(),
    stop: async () => {
      process.off("exit", kill)
      client.destroy()
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL")
        await once(child, "exit")
      }
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

const connect = async (url: string, child: ChildProcess) => {
  for (;;) {
    try {
      const client = createClient({ url, socket: { reconnectStrategy: false } })
      client.on("error", () => undefined)
      return await client.connect()
    } catch (error) {
      if (child.exitCode !== null) throw error
      await setTimeout(50)
    }
  }
}
