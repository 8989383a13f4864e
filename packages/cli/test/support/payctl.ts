/** payctl, as a process of its own and in this one. */
import { NodeServices } from "@effect/platform-node"
import { Cause, ConfigProvider, Console, Effect, Exit, Layer, Runtime, Stdio, Stream } from "effect"
import { spawnSync } from "node:child_process"
import { join, resolve } from "node:path"
import { payctl as command } from "../../src/payctl.ts"

const bin = join(resolve(import.meta.dirname, "../.."), "bin/payctl.js")

export interface Run {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Options {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

export const payctl = (args: ReadonlyArray<string>, options?: Options): Run => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [bin, ...args], {
    encoding: "utf8",
    input: options?.input ?? "",
    maxBuffer: 100_000_000,
    env: { ...process.env, DATABASE_URL: "", REDIS_URL: "", NO_COLOR: "1", ...options?.env }
  })
  return { status, stdout, stderr }
}

/** The same without a process, which is much faster. */
export const payctlHere = async (args: ReadonlyArray<string>, options?: Options): Promise<Run> => {
  const out: Array<string> = []
  const err: Array<string> = []
  const print = (to: Array<string>) => (...texts: ReadonlyArray<unknown>) => {
    to.push(`${texts.join(" ")}\n`)
  }
  const stdio = Stdio.layerTest({ stdin: Stream.make(new TextEncoder().encode(options?.input ?? "")) })
  const exit = await command("0.0.0")(args).pipe(
    Effect.provide(Layer.provideMerge(stdio, NodeServices.layer)),
    Effect.provideService(Console.Console, { ...console, log: print(out), error: print(err) }),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: options?.env ?? {} })),
    Effect.runPromiseExit
  )
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  const status = error === undefined
    ? 0
    : typeof error === "object" && error !== null && Runtime.errorExitCode in error
    ? Number(error[Runtime.errorExitCode])
    : 1
  return { status, stdout: out.join(""), stderr: err.join("") }
}
