/**
 * A store over a file, which is right, and such that are right in one process and wrong in several, as stores are wrong in the
 * field: what they keep in their process the others do not see.
 */
import { Duration, Effect, Layer, Semaphore } from "effect"
import { IdempotencyStore } from "effect-payments"
import { DatabaseSync } from "node:sqlite"
import * as machine from "../../src/internal/idempotency/machine.ts"
import type { Ownership, Record } from "../../src/internal/idempotency/record.ts"

type Store = IdempotencyStore.IdempotencyStore["Service"]
type Transition = (record: Record | undefined, now: number) => Record | undefined

/** How a record is kept, each part of which can be replaced. */
interface Parts {
  readonly read: (id: string) => Record | undefined
  readonly write: (record: Record) => void
  /** One step from a record to the next. */
  readonly update: (id: string, transition: Transition) => Effect.Effect<Record | undefined>
  /** Whom a caller is taken for. */
  readonly callerOf: <A extends Ownership>(request: A, record: Record | undefined) => A
  readonly granted: (record: Record) => void
  readonly forget: (id: string) => void
  /** Before all records are read. */
  readonly settle: () => void
}

/** Opens the file. Its clock is the machine's and what was added to it. */
const open = (filename: string) => {
  const db = new DatabaseSync(filename, { timeout: 30_000 })
  db.exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL")
  db.exec("CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, json TEXT NOT NULL)")
  db.exec("CREATE TABLE IF NOT EXISTS clock (ahead INTEGER NOT NULL)")
  db.exec("INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock)")
  const toRecord = (row: unknown): Record => {
    const record: Record = JSON.parse((row as { readonly json: string }).json)
    return { ...record, result: record.result, expiresAt: record.expiresAt }
  }
  return {
    db,
    now: () => Date.now() + Number(db.prepare("SELECT ahead FROM clock").get()?.["ahead"]),
    read: (id: string) => {
      const row = db.prepare("SELECT json FROM records WHERE id = ?").get(id)
      return row === undefined ? undefined : toRecord(row)
    },
    write: (record: Record) =>
      void db.prepare("INSERT OR REPLACE INTO records VALUES (?, ?)").run(record.id, JSON.stringify(record)),
    remove: (id: string) => void db.prepare("DELETE FROM records WHERE id = ?").run(id),
    ids: () => db.prepare("SELECT id FROM records ORDER BY id").all().map(({ id }) => String(id)),
    atOnce: <A>(run: () => A): A => {
      db.exec("BEGIN IMMEDIATE")
      try {
        return run()
      } finally {
        db.exec("COMMIT")
      }
    }
  }
}

type File = ReturnType<typeof open>

/** Lets time pass for all who use the file. */
export const shiftFile = (filename: string) => (duration: Duration.Input) =>
  Effect.sync(() => {
    const { db } = open(filename)
    db.prepare("UPDATE clock SET ahead = ahead + ?").run(Duration.toMillis(Duration.fromInputUnsafe(duration)))
    db.close()
  })

const limited = (operation: string, limit: number, max: number) =>
  Number.isInteger(limit) && limit >= 1 && limit <= max
    ? Effect.void
    : Effect.fail(new IdempotencyStore.StoreUnavailable({ operation, detail: "limit" }))

const toStore = (file: File, { callerOf, forget, granted, read, settle, update }: Parts): Store => {
  const all = () => {
    settle()
    return file.ids().flatMap((id) => read(id) ?? [])
  }
  const remove = (id: string) => {
    forget(id)
    file.remove(id)
  }
  const isWritten = Effect.map((record: Record | undefined) => record !== undefined)
  return {
    claim: (request) =>
      Effect.suspend(() => {
        let time = 0
        const claim: Transition = (record, now) => {
          time = now
          const next = machine.claim(record, request, now)
          if (next !== record && next.owner === request.owner) granted(next)
          return next
        }
        return Effect.map(update(request.id, claim), (record) => ({ record: record!, now: time }))
      }),
    complete: (request) =>
      isWritten(update(request.id, (record, now) => machine.complete(record, callerOf(request, record), now))),
    release: (request) =>
      isWritten(update(request.id, (record, now) => machine.release(record, callerOf(request, record), now))),
    renew: (requests) =>
      Effect.forEach(
        requests,
        (request) =>
          isWritten(update(request.id, (record, now) => machine.renew(record, callerOf(request, record), now)))
      ),
    resolve: (request) =>
      Effect.map(update(request.id, (record, now) => machine.resolve(record, request, now)), (record) => {
        if (record !== undefined) granted(record)
        return record !== undefined
      }),
    inspect: ({ id }) =>
      Effect.suspend(() => {
        const now = file.now()
        let found: Record | undefined
        return Effect.map(update(id, (record) => (found = record)), () => ({ record: found, now }))
      }),
    list: (request) =>
      Effect.map(limited("list", request.limit, 1_000), () => {
        const now = file.now()
        return all().filter((record) => machine.isListed(record, request, now)).slice(0, request.limit)
      }),
    evict: ({ id }, { force }) =>
      Effect.sync(() =>
        file.atOnce(() => {
          settle()
          const eviction = machine.evict(read(id), force)
          if (eviction === "Evicted") remove(id)
          return eviction
        })
      ),
    sweep: ({ limit }) =>
      Effect.map(limited("sweep", limit, 10_000), () =>
        file.atOnce(() => {
          const now = file.now()
          const expired = all().filter((record) => machine.isExpired(record, now)).slice(0, limit)
          for (const { id } of expired) remove(id)
          return expired.length
        }))
  }
}

const right = (file: File, given: Partial<Parts> = {}): Parts => {
  const { read, write } = { ...file, ...given }
  return {
    read,
    write,
    update: (id, transition) =>
      Effect.sync(() =>
        file.atOnce(() => {
          const record = read(id)
          const next = transition(record, file.now())
          if (next !== undefined && next !== record) write(next)
          return next
        })
      ),
    callerOf: (request) => request,
    granted: () => undefined,
    forget: () => undefined,
    settle: () => undefined,
    ...given
  }
}

const isHeld = ({ state }: Record) => state === "Claimed" || state === "Resolving"

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const mutants = {
  "guards a read and a write by a lock of its process": (file) => {
    const { withPermit } = Semaphore.makeUnsafe(1)
    return {
      update: (id, transition) =>
        withPermit(Effect.gen(function*() {
          const record = file.read(id)
          yield* Effect.sleep("3 millis")
          const next = transition(record, file.now())
          if (next !== undefined && next !== record) file.write(next)
          return next
        }))
    }
  },
  "keeps leases in its process": (file) => {
    const leases = new Map<string, number>()
    return {
      read: (id) => {
        const record = file.read(id)
        return record && { ...record, leaseUntil: leases.get(id) ?? 0 }
      },
      write: (record) => {
        leases.set(record.id, record.leaseUntil)
        file.write(record)
      }
    }
  },
  "answers with what its process has read before": (file) => {
    const known = new Map<string, Record>()
    return {
      read: (id) => {
        const record = known.get(id) ?? file.read(id)
        if (record !== undefined) known.set(id, record)
        return record
      },
      write: (record) => {
        known.set(record.id, record)
        file.write(record)
      },
      forget: (id) => known.delete(id)
    }
  },
  "answers before it has written": (file) => {
    const behind = new Map<string, Record>()
    const settle = () => {
      for (const record of behind.values()) file.write(record)
      behind.clear()
    }
    return {
      read: (id) => behind.get(id) ?? file.read(id),
      write: (record) => {
        if (behind.size === 0) setTimeout(() => file.db.isOpen && file.atOnce(settle), 50)
        behind.set(record.id, record)
      },
      settle
    }
  },
  "knows owners by its process": () => {
    const owners = new Map<string, string>()
    const nameOf = ({ fence, owner }: Ownership) => `${fence} ${owner}`
    return {
      granted: (record) => owners.set(record.id, nameOf(record)),
      callerOf: (request, record) =>
        owners.get(request.id) === nameOf(request) && record !== undefined
          ? { ...request, owner: record.owner, fence: record.fence }
          : request
    }
  },
  "takes no other process for the owner": (file) => {
    const prefix = `${process.pid}:`
    return {
      read: (id) => {
        const record = file.read(id)
        return record?.owner.startsWith(prefix) ? { ...record, owner: record.owner.slice(prefix.length) } : record
      },
      write: (record) => file.write({ ...record, owner: `${prefix}${record.owner}` })
    }
  },
  "frees what a process held that is gone": (file) => ({
    read: (id) => {
      const record = file.read(id) as (Record & { readonly pid?: number }) | undefined
      if (record === undefined) return undefined
      const { pid = process.pid, ...rest } = record
      return isHeld(rest) && !isAlive(pid) ? { ...rest, state: "Vacant" } : rest
    },
    write: (record) => file.write({ ...record, pid: process.pid } as Record)
  })
} satisfies { readonly [name: string]: (file: File) => Partial<Parts> }

type Mutant = keyof typeof mutants

export const mutantNames = Object.keys(mutants) as ReadonlyArray<Mutant>

const isMutant = (name: string): name is Mutant => Object.hasOwn(mutants, name)

/** The one of that name, or the one that is right. */
export const layerFile = (filename: string, name: string) =>
  Layer.effect(
    IdempotencyStore.IdempotencyStore,
    Effect.map(
      Effect.acquireRelease(Effect.sync(() => open(filename)), ({ db }) => Effect.sync(() => db.close())),
      (file) => toStore(file, right(file, isMutant(name) ? mutants[name](file) : {}))
    )
  )
