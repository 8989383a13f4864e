/**
 * A service as a process: prints one line of JSON when it listens, and ends on SIGTERM, SIGINT, or with its standard input.
 *
 * node --conditions=@effect-payments/source packages/examples/src/services/main.ts \
 *   '{"name":"inventory","filename":"inventory.sqlite","port":0}' < /dev/tty
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Context, Effect, Exit, Layer, Logger, Schema } from "effect"
import { HttpServer } from "effect/http"
import { orphaned } from "../demo/runProcess.ts"
import * as Server from "./Server.ts"
import { Task } from "./Task.ts"

Schema.decodeUnknownEffect(Schema.fromJsonString(Task))(process.argv[2]).pipe(
  Effect.flatMap((task) => Layer.build(Server.layer(task))),
  Effect.flatMap((context) => {
    const { address } = Context.get(context, HttpServer.HttpServer)
    return Console.log(JSON.stringify({ listening: "port" in address ? address.port : 0 }))
  }),
  Effect.andThen(orphaned),
  Effect.scoped,
  Effect.provide(Logger.layer([])),
  Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
  NodeRuntime.runMain({
    // A signal is how this process is meant to end.
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
  })
)
