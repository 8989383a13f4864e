/**
 * At which of two gateways a downstream key may be spent.
 *
 * A key is bound to the gateway that may have acted on it: a second attempt under it goes there or nowhere. It moves on
 * only while every call under it has ended as surely not executed. The table is bounded: it forgets its oldest key, and
 * a claim as old as a forgotten one stays at the first gateway, since nobody knows any more where it has been.
 *
 * @internal
 */

/** @internal */
export type Place = "primary" | "secondary"

const routesMax = 65_536

interface Route {
  place: Place
  /** Calls that have left and not come back. */
  flying: number
  /** A call under this key was executed, refused, or nobody knows: the key stays here. */
  bound: boolean
  readonly fence: number
}

/** @internal */
export interface Routes {
  /** A call is about to leave: where to. */
  readonly enter: (key: string, fence: number) => Place
  /** A call has come back. True: nothing has happened under this key and the next gateway is to be entered. */
  readonly leave: (key: string, notExecuted: boolean) => boolean
}

/** @internal */
export const make = (limit: number = routesMax): Routes => {
  const routes = new Map<string, Route>()
  let forgottenFence = -1
  const open = (key: string, fence: number): Route => {
    const route: Route = { place: "primary", flying: 0, bound: fence <= forgottenFence, fence }
    routes.set(key, route)
    for (const [oldest, { fence }] of routes) {
      if (routes.size <= limit) break
      routes.delete(oldest)
      forgottenFence = Math.max(forgottenFence, fence)
    }
    return route
  }
  return {
    enter: (key, fence) => {
      const route = routes.get(key) ?? open(key, fence)
      route.flying++
      return route.place
    },
    leave: (key, notExecuted) => {
      const route = routes.get(key)
      if (route === undefined) return false
      route.flying--
      route.bound ||= !notExecuted
      if (route.bound || route.flying > 0) return false
      if (route.place === "primary") {
        route.place = "secondary"
        return true
      }
      // Neither gateway has acted on the key: the next attempt starts over.
      routes.delete(key)
      return false
    }
  }
}
