import { Effect, Layer } from "effect"
import { Redis } from "effect/persistence"
import { make } from "../../src/internal/idempotency/redis.ts"
import { ClockStore } from "./clockStore.ts"

/** The same over Redis: its clock is a key. */
export const layer = (prefix: string) =>
  Layer.effect(
    ClockStore,
    Effect.gen(function*() {
      const { send } = yield* Redis.Redis
      const clock = `{${prefix}}:clock`
      const drop = Redis.script(() => [`{${prefix}}:*`], {
        numberOfKeys: 0,
        lua: `for _, key in ipairs(redis.call("KEYS", ARGV[1])) do redis.call("DEL", key) end`
      })
      const redis = yield* Redis.Redis
      return {
        store: yield* make({
          prefix,
          eviction: "refuse",
          replicas: undefined,
          now: `tonumber(redis.call("GET", "${clock}"))`
        }),
        reset: Effect.orDie(redis.eval(drop)()),
        setTime: (now) => Effect.orDie(send("SET", clock, `${now}`))
      }
    })
  )
