/**
 * The other end of `Process.ts`: reads the argument, runs the program, prints its answer.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Schema } from "effect"

// A child outlives no parent: its standard input closes when the parent is gone.
export const orphaned = Effect.callback<void>((resume) => {
  process.stdin.resume().once("close", () => resume(Effect.void))
})

export const runProcess = <I, A, E>(
  input: Schema.Codec<I, unknown>,
  answer: Schema.Codec<A, unknown>,
  program: (input: I) => Effect.Effect<A, E>
): void =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(input))(process.argv[2]).pipe(
    Effect.flatMap(program),
    Effect.flatMap(Schema.encodeEffect(Schema.fromJsonString(answer))),
    Effect.flatMap(Console.log),
    Effect.raceFirst(Effect.andThen(orphaned, Effect.interrupt)),
    // The open standard input would keep the process alive.
    Effect.ensuring(Effect.sync(() => process.stdin.destroy())),
    NodeRuntime.runMain
  )
