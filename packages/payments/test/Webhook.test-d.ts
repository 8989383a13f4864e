import { Effect, type Layer, type Redacted } from "effect"
import { Inbox, type Signature, Webhook } from "effect-payments"
import type { SqlClient } from "effect/sql"
import { describe, expectTypeOf, it } from "vitest"

declare const endpoint: Webhook.Endpoint
declare const request: Signature.Request
declare const handler: (event: Webhook.Attempt) => Effect.Effect<number, "no", SqlClient.SqlClient>

describe("Webhook", () => {
  it("adds its two errors and one service", () => {
    expectTypeOf(Webhook.handle(endpoint, request, handler)).toEqualTypeOf<
      Effect.Effect<
        Webhook.Outcome<number>,
        "no" | Signature.SignatureError | Inbox.InboxError,
        SqlClient.SqlClient | Inbox.Inbox
      >
    >()
    expectTypeOf(Webhook.handleAtLeastOnce(endpoint, request, handler)).toEqualTypeOf<
      Effect.Effect<
        Webhook.Outcome<number>,
        "no" | Signature.SignatureError | Inbox.InboxError,
        SqlClient.SqlClient | Inbox.AtLeastOnceInbox
      >
    >()
  })

  it("does not take a store that cannot commit with the handler", () => {
    const inMemory = Effect.provide(Webhook.handle(endpoint, request, () => Effect.void), Inbox.layerStoreMemory())
    expectTypeOf<Effect.Services<typeof inMemory>>().toEqualTypeOf<Inbox.Inbox>()
    expectTypeOf<Layer.Success<ReturnType<typeof Inbox.layerStoreRedis>>>().toEqualTypeOf<Inbox.AtLeastOnceInbox>()
    expectTypeOf<Layer.Success<ReturnType<typeof Inbox.layerStoreSql>>>().toEqualTypeOf<
      Inbox.Inbox | Inbox.AtLeastOnceInbox
    >()
  })

  it("takes secrets that do not show themselves, and bytes", () => {
    expectTypeOf<Webhook.Options["secrets"]>().toEqualTypeOf<ReadonlyArray<Redacted.Redacted<string>>>()
    expectTypeOf<Signature.Request["body"]>().toEqualTypeOf<Uint8Array>()
  })
})
