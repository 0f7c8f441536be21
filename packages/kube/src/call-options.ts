import type { Clock } from './clock.ts'
import type { ClientConfig, Impersonation } from './config.ts'
import type { Query } from './resource-path.ts'

export interface ClientOptions {
  readonly userAgent?: string
  /** Owner of the fields that this client writes. */
  readonly fieldManager?: string
  readonly timeoutMs?: number
  readonly clock?: Clock
  /** Longest time that a watch may be silent, in milliseconds. Default: 150,000; the server sends bookmarks about once a minute. */
  readonly silenceMs?: number | undefined
  /**
   * Reads the configuration again, such as `() => loadKubeconfig(file)`: once a minute, and when the server refuses what is known.
   * Only its `ca` and `user` count; named files are read again without it.
   */
  readonly reread?: (() => Promise<ClientConfig>) | undefined
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  /** As whom this one call is made, in place of whom the configuration names. */
  readonly as?: Impersonation | undefined
}

export interface WriteOptions extends CallOptions {
  readonly fieldManager?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly subresource?: string | undefined
  /** What the server does with fields that it does not know. Its own default: Warn. */
  readonly fieldValidation?: 'Ignore' | 'Warn' | 'Strict' | undefined
}

export interface ApplyOptions extends WriteOptions {
  /** Take over fields that other managers own. */
  readonly force?: boolean | undefined
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'json' | 'merge' | 'strategic'
}

export interface DeleteOptions extends CallOptions {
  readonly propagation?: 'Foreground' | 'Background' | 'Orphan' | undefined
  /** Delete only this very object. */
  readonly uid?: string | undefined
  /** Delete it only as it was read. */
  readonly resourceVersion?: string | undefined
  readonly gracePeriodSeconds?: number | undefined
  readonly dryRun?: boolean | undefined
}

export interface WatchOptions {
  readonly signal?: AbortSignal | undefined
  /** Tell what happened after this version. Without it, and without `sendInitialEvents`: from now, existing objects first. */
  readonly resourceVersion?: string | undefined
  /** Tell of all existing objects first, and end them with a bookmark. */
  readonly sendInitialEvents?: boolean | undefined
  readonly timeoutSeconds?: number | undefined
  /** Longest time without a byte, in milliseconds. */
  readonly silenceMs?: (() => number) | undefined
}

export interface RawOptions extends CallOptions {
  readonly query?: Query | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Sent as it is if text, else as JSON. */
  readonly body?: unknown
}

export interface ListOptions extends CallOptions {
  /** Objects per page. */
  readonly limit?: number | undefined
}

export interface ListResult<T> {
  readonly items: T[]
  readonly resourceVersion: string
}
