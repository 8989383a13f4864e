/**
 * Says on a terminal how far a long reading is. Where stderr is no terminal it says nothing.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/**
 * @internal
 */
export interface Progress {
  /** Shows the text, unless something was shown a moment ago. */
  readonly show: (text: () => string) => Effect.Effect<void>
  /** Wipes what is shown. */
  readonly clear: Effect.Effect<void>
}

const silent: Progress = { show: () => Effect.void, clear: Effect.void }

const everyMillis = 100

/**
 * @internal
 */
export const makeProgress: Effect.Effect<Progress, never, Stdio.Stdio> = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  if (!(yield* stdio.stderrIsTerminal)) return silent
  // What cannot be shown is no reason to stop.
  const write = (text: string) => Effect.ignore(Stream.run(Stream.make(text), stdio.stderr()))
  let shownAt = yield* Clock.currentTimeMillis
  let isShown = false
  return {
    show: Effect.fnUntraced(function*(text) {
      const now = yield* Clock.currentTimeMillis
      if (now - shownAt < everyMillis) return
      shownAt = now
      isShown = true
      yield* write(`\r\u001b[K${text()}`)
    }),
    clear: Effect.suspend(() => {
      if (!isShown) return Effect.void
      isShown = false
      return write("\r\u001b[K")
    })
  }
})
