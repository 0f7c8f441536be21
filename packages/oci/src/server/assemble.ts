import { join } from 'node:path'
import { ensureDirectory, storageError } from '../disk.ts'
import { LoginGuard } from './access/login-guard.ts'
import { Tokens } from './access/tokens.ts'
import { Users } from './access/users.ts'
import type { Admin } from './admin/admin-routes.ts'
import { type Collected, Collector } from './collector.ts'
import { RegistryHandler } from './handler.ts'
import type { RegistryServerOptions } from './options.ts'
import { Mirrors } from './replication/mirrors.ts'
import { Store } from './store.ts'
import { AuditLog, defaultAuditLimits } from './upkeep/audit.ts'
import { ChannelGate } from './upkeep/channel-gate.ts'
import { Metrics } from './upkeep/metrics.ts'
import { PushQuota } from './upkeep/push-quota.ts'
import { Quotas } from './upkeep/quotas.ts'
import { RecentReads } from './upkeep/recent-reads.ts'
import { Retention } from './upkeep/retention.ts'
import { measure, type Usage } from './upkeep/usage.ts'
import { type UploadLimits, Uploads } from './uploads.ts'
import { Upstreams } from './upstream/upstreams.ts'

const defaultLimits: UploadLimits = { sessions: 1000, expiryMs: 60 * 60 * 1000, blobBytes: 64 * 1024 ** 3 }
const hourMs = 60 * 60 * 1000
const defaultRetentionGraceMs = 10 * 60 * 1000
/** The metrics' figures of storage are measured no more often than this. */
const measuredMs = 5 * 60 * 1000

/** A registry without its sockets. */
export interface Assembled {
  readonly handler: RegistryHandler
  readonly uploads: Uploads
  readonly pushQuota: PushQuota
  readonly mirrors: Mirrors
  readonly closed: AbortSignal
  collectGarbage(call?: { signal?: AbortSignal }): Promise<Collected>
  /** Ends what runs by itself. */
  stop(): void
  /** Waits for it, and closes files. */
  close(): Promise<void>
}

/** Puts the parts of a registry together. @throws OciError `Storage` */
export async function assemble(root: string, options: RegistryServerOptions): Promise<Assembled> {
  const now = options.now ?? Date.now
  const { logger } = options
  const limits = { ...defaultLimits, ...options.limits }
  const closed = new AbortController()
  const store = await Store.open(root, now)
  const uploads = await Uploads.open(join(root, 'uploads'), limits, now)
  const upkeep = join(root, 'upkeep')
  await ensureDirectory(upkeep).catch((error: unknown) => {
    throw storageError(error, upkeep)
  })
  const tokens = await Tokens.open(join(upkeep, 'tokens.json'), join(root, 'tmp'), now)
  const failed = (error: unknown): void => logger?.error({ error: String(error) }, 'the audit could not be written')
  const audit = await AuditLog.open(join(root, 'audit'), { ...defaultAuditLimits, ...options.audit }, failed)
  const metrics = new Metrics()
  const quotas = new Quotas(store, options.quotas ?? [], now)
  const pushQuota = new PushQuota(store, uploads, quotas)
  const gate = new ChannelGate(options.channels?.repositories)
  const reads = new RecentReads()
  const upstreams = new Upstreams({
    store,
    upstreams: options.upstreams ?? [],
    quotas,
    metrics,
    limitBytes: limits.blobBytes,
    now,
    failed: (fields, message) => logger?.error(fields, message),
  })
  const record = (action: string, fields: object): void =>
    audit.record({ time: new Date(now()).toISOString(), who: 'registry', from: 'registry', action, ...fields })
  const writing = new Map<string, number>()
  const mirrors = await Mirrors.open({
    store,
    guards: { quotas, gate },
    mirrors: options.mirrors ?? [],
    file: join(upkeep, 'mirrors.json'),
    now,
    writing: (repository, begins) => writing.set(repository, (writing.get(repository) ?? 0) + (begins ? 1 : -1)),
    finished: (status) => {
      const detail = `${status.state}: ${status.tags} tags, ${status.bytes} bytes, ${status.errors.length} errors`
      record(`mirror ${status.name}`, { detail })
      metrics.set(
        'muster_registry_mirror_success_seconds',
        'When a mirror last succeeded, in seconds since 1970.',
        (status.succeededMs ?? 0) / 1000,
        {
          mirror: status.name,
        },
      )
      logger?.info(status, 'mirror finished')
    },
  })
  const isPushing = (repository: string): boolean => uploads.isOpen(repository) || (writing.get(repository) ?? 0) > 0
  const collector = new Collector({ store, isPushing, graceMs: options.garbage?.graceMs ?? hourMs, now })
  const running = new Set<Promise<unknown>>()
  const kept = <T>(work: Promise<T>): Promise<T> => {
    running.add(work)
    return work.finally(() => running.delete(work))
  }
  const collectGarbage = (call: { signal?: AbortSignal } = {}): Promise<Collected> =>
    kept(
      collector.run(call.signal === undefined ? closed.signal : AbortSignal.any([call.signal, closed.signal])).then((collected) => {
        quotas.forget()
        metrics.count('muster_registry_gc_runs_total', 'Collections of garbage.')
        metrics.count('muster_registry_gc_removed_bytes_total', 'Bytes that collections removed.', {}, collected.bytes)
        return collected
      }),
    )
  const retention = new Retention({
    store,
    channels: options.channels,
    gate,
    reads,
    graceMs: options.retentionGraceMs ?? defaultRetentionGraceMs,
    now,
    removed: ({ repository, tags, manifests }) => {
      for (const { tag, digest } of tags) record('retain: remove tag', { repository, reference: tag, digest })
      for (const digest of manifests) record('retain: remove manifest', { repository, digest })
    },
  })
  let measured: { at: number; usage: Usage } | undefined
  const usage = async (): Promise<Usage> => {
    const found = await measure(store, closed.signal)
    measured = { at: now(), usage: found }
    return found
  }
  const admin: Admin = {
    tokens,
    mirrors,
    audit,
    now,
    usage: async () => ({ ...(await kept(usage())), quotas: await quotas.usage() }),
    collectGarbage: () => collectGarbage(),
    retain: (call) => kept(retention.run({ ...call, signal: closed.signal })),
    refreshMetrics: async () => {
      const { usage: found } = measured !== undefined && now() - measured.at < measuredMs ? measured : { usage: await kept(usage()) }
      metrics.set('muster_registry_storage_bytes', 'Bytes of content on disk.', found.content.bytes)
      metrics.set('muster_registry_storage_count', 'Pieces of content on disk.', found.content.count)
      metrics.set('muster_registry_repositories', 'Repositories.', found.repositories.length)
      metrics.set('muster_registry_audit_dropped', 'Records of the audit that could not be written.', audit.dropped)
      for (const quota of await quotas.usage()) {
        metrics.set('muster_registry_quota_used_bytes', 'Bytes held under a quota.', quota.used, { repositories: quota.repositories })
        metrics.set('muster_registry_quota_limit_bytes', 'Bytes that a quota allows.', quota.bytes, { repositories: quota.repositories })
      }
    },
  }
  const handler = new RegistryHandler({
    store,
    uploads,
    users: new Users(options.users),
    tokens,
    guard: new LoginGuard(now),
    audit,
    metrics,
    pushQuota,
    upstreams,
    reads,
    gate,
    admin,
    logger,
    now,
    ownHosts: options.mirrorOf === undefined ? [] : [options.mirrorOf],
  })
  return {
    handler,
    uploads,
    pushQuota,
    mirrors,
    closed: closed.signal,
    collectGarbage,
    stop: () => closed.abort(),
    close: async () => {
      closed.abort()
      await Promise.all([mirrors.close(), upstreams.close()])
      await Promise.allSettled(running)
      await audit.close()
    },
  }
}
