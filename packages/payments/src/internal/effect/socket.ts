/**
 * Effect's socket modules, which are unstable: imported here and nowhere else.
 *
 * @internal
 */
export * as NetAddress from "effect/net/NetAddress"
export * as Socket from "effect/socket/Socket"
export * as SocketServer from "effect/socket/SocketServer"
