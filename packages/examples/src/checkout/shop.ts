/**
 * The shop: everything that a checkout needs, from the stores up. A process of it finishes what others have left behind.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { type Duration, Layer } from "effect"
import { AuditLog, Saga } from "effect-payments"
import { FetchHttpClient } from "effect/http"
import { layer as layerClient, type Urls } from "../services/client.ts"
import * as SimGateway from "../SimGateway.ts"
import * as Accounting from "./Accounting.ts"
import { checkout } from "./checkout.ts"
import * as Fulfilment from "./Fulfilment.ts"
import * as Ledger from "./Ledger.ts"
import { make as makeSecured } from "./secured.ts"
import * as stores from "./stores.ts"

export interface Options extends stores.Place {
  readonly gatewayUrl: string | URL
  /** Where the services listen. Without them stock, parcels, receipts and sales are in the shop's own database. */
  readonly services?: Urls | undefined
  /** For how long a process that has died keeps others from its checkouts. */
  readonly lease?: Duration.Input | undefined
  /** For how long the payer of a secured checkout may take to authenticate. */
  readonly authenticateWithin?: Duration.Input | undefined
  /** How often to look for checkouts that somebody has left. */
  readonly recoverEvery?: Duration.Input | undefined
}

type Ports = Fulfilment.Fulfilment | Accounting.Accounting

const layerOwn: Layer.Layer<Ports, Layer.Error<typeof Fulfilment.layer>, Layer.Services<typeof Fulfilment.layer>> =
  Layer
    .merge(Fulfilment.layer, Accounting.layer)

/** The services, without the recovery: for programs that only ask. Stores of another kind may be given. */
export const layerServices = (options: Options, layerStores = stores.layer(options)) =>
  Layer.mergeAll(
    SimGateway.layer({ baseUrl: options.gatewayUrl }).pipe(Layer.provide(FetchHttpClient.layer)),
    Saga.layer({ lease: options.lease }).pipe(Layer.provide(NodeCrypto.layer)),
    options.services === undefined ? layerOwn : layerClient({ urls: options.services }),
    Ledger.layer,
    AuditLog.layerLog
  ).pipe(Layer.provideMerge(layerStores))

/** With it, a checkout that another process has left is taken over, from its log, as soon as its lease is over. */
export const layer = (options: Options) =>
  Saga.layerRecover([checkout, makeSecured({ deadline: options.authenticateWithin })], {
    every: options.recoverEvery
  }).pipe(Layer.provideMerge(layerServices(options)))
