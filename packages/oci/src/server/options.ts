import type { RegistryUser } from './access/users.ts'
import type { Mirror } from './replication/mirror-status.ts'
import type { AuditLimits } from './upkeep/audit.ts'
import type { Quota } from './upkeep/quotas.ts'
import type { Channels } from './upkeep/retention.ts'
import type { UploadLimits } from './uploads.ts'
import type { Upstream } from './upstream/upstreams.ts'

/** Takes structured records, as pino does. */
export interface RegistryLogger {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface RegistryServerOptions {
  /** Directory of the registry; made when missing. One server per directory at a time. */
  root: string
  /** Port 0 takes a free one. */
  listen: { host: string; port: number }
  /** PEM. Without it the registry speaks plain HTTP: for loopback and tests. */
  tls?: { cert: string; key: string } | undefined
  /** Nobody else is let in, not even to read, but who has a token. */
  users: readonly RegistryUser[]
  /** Another `host[:port]` whose images are this registry's own repositories: `?ns=` with it is not looked up under `mirror/`. */
  mirrorOf?: string | undefined
  logger?: RegistryLogger | undefined
  /** Aborting closes the server. */
  signal?: AbortSignal | undefined
  limits?: Partial<UploadLimits> | undefined
  /**
   * Removes what nothing names every `intervalMs` (default one hour; 0: only when asked), and of that nothing younger than `graceMs`
   * (default one hour; longer than a push is silent between its blobs and its manifest).
   */
  garbage?: { intervalMs?: number; graceMs?: number } | undefined
  /** How much repositories may hold. */
  quotas?: readonly Quota[] | undefined
  /** Registries whose content is fetched when it is asked for. */
  upstreams?: readonly Upstream[] | undefined
  /** What is copied to and from other registries. */
  mirrors?: readonly Mirror[] | undefined
  /** What says which content is needed, whatever rule of retention matches it. */
  channels?: Channels | undefined
  /** How long retention leaves alone what was put or asked for, in milliseconds. Default 10 minutes. */
  retentionGraceMs?: number | undefined
  audit?: Partial<AuditLimits> | undefined
  /** How long `close` lets requests finish, in milliseconds. Default 10 000. */
  graceMs?: number | undefined
  /** Milliseconds since 1970. Default Date.now. */
  now?: (() => number) | undefined
}
