/**
 * The simulator as a process: prints one line of JSON when it listens, and ends on SIGTERM or SIGINT.
 *
 * node --conditions=@effect-payments/source packages/examples/src/gateway-sim/main.ts --port 0
 *
 * It imports modules and no barrels, here and in its other files: it is started often, and so starts in half the time.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Server from "./Server.ts"

const bounded = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const flags = {
  port: Flag.Int("port").pipe(
    Flag.withSchema(bounded(0, 65_535)),
    Flag.withDefault(4242),
    Flag.withDescription("port on 127.0.0.1; 0 takes a free one")
  ),
  seed: Flag.Int("seed").pipe(Flag.withDefault(1), Flag.withDescription("seed of the faults of chance")),
  dedup: Flag.Literals("dedup", ["on", "off"]).pipe(
    Flag.withDefault("on"),
    Flag.withDescription("whether a key is answered with its first answer")
  ),
  faultRate: Flag.Finite("fault-rate").pipe(
    Flag.withSchema(bounded(0, 1)),
    Flag.withDefault(0),
    Flag.withDescription("share of requests that meet a fault, 0 to 1")
  ),
  latency: Flag.Int("latency").pipe(
    Flag.withSchema(bounded(0, 60_000)),
    Flag.withDefault(0),
    Flag.withDescription("milliseconds that each operation takes")
  ),
  operationsMax: Flag.Int("operations-max").pipe(
    Flag.withSchema(bounded(1, 10_000_000)),
    Flag.withDefault(100_000),
    Flag.withDescription("further operations are refused with 503")
  ),
  apiKey: Flag.String("api-key").pipe(
    Flag.optional,
    Flag.withDescription("bearer token that /v1 asks for; none by default")
  ),
  untilStdinCloses: Flag.Boolean("until-stdin-closes").pipe(
    Flag.withDefault(false),
    Flag.withDescription("end when standard input does: a child outlives no parent")
  )
}

const stdinClosed = Effect.callback<void>((resume) => {
  process.stdin.resume().once("close", () => resume(Effect.void))
})

const command = Command.make(
  "gateway-sim",
  flags,
  Effect.fnUntraced(function*({ apiKey, dedup, faultRate, latency, operationsMax, port, seed, untilStdinCloses }) {
    const context = yield* Layer.build(Server.layer({
      port,
      seed,
      deduplicates: dedup === "on",
      faultRate,
      latencyMillis: latency,
      operationsMax,
      apiKey: Option.getOrUndefined(apiKey)
    }))
    const { address } = Context.get(context, HttpServer.HttpServer)
    const listening = "port" in address ? address.port : undefined
    yield* Console.log(JSON.stringify({ listening, seed }))
    yield* untilStdinCloses ? stdinClosed : Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("A payment gateway that misbehaves on demand, for tests and demonstrations"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(Layer.merge(NodeServices.layer, NodeCrypto.layer)),
  NodeRuntime.runMain({
    // A signal is how this process is meant to end.
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
  })
)
