// Counts what a client asks of Postgres: a proxy in front of the server that reads the messages of the client and nothing
// else. A statement is an Execute or a simple Query, BEGIN and COMMIT too.
import { connect, createServer, type Socket } from "node:net"

export interface Counter {
  /** Of the proxy. */
  readonly url: string
  /** Statements so far. */
  readonly statements: () => number
  readonly close: () => Promise<void>
}

const execute = 0x45
const query = 0x51

// A message is its kind, its length, which counts itself, and its body. The first one of a connection has no kind.
const reader = (count: () => void) => {
  let rest: Buffer = Buffer.alloc(0)
  let isFirst = true
  return (chunk: Buffer): void => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const at = isFirst ? 0 : 1
      if (rest.length < at + 4) return
      const end = at + rest.readUInt32BE(at)
      if (rest.length < end) return
      if (!isFirst && (rest[0] === execute || rest[0] === query)) count()
      rest = rest.subarray(end)
      isFirst = false
    }
  }
}

export const countStatements = async (url: string): Promise<Counter> => {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let statements = 0
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    const read = reader(() => statements++)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on("data", read)
    client.pipe(upstream)
    upstream.pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const proxied = new URL(url)
  proxied.port = String(typeof address === "object" && address !== null ? address.port : 0)
  return {
    url: proxied.href,
    statements: () => statements,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
