import type { CallOptions } from '../content.ts'
import { OciError } from '../errors.ts'
import { isHost, isRepository } from '../reference.ts'
import { Administration } from './administration.ts'
import type { Credentials } from './authorizer.ts'
import { listRepositories } from './catalog.ts'
import type { RateLimits } from './pace.ts'
import { Repository } from './repository.ts'
import { defaultRetry, type RetryPolicy } from './retry.ts'
import { Transport, type UploadMemory } from './transport.ts'

export interface RegistryOptions {
  /** `host` or `host:port` */
  host: string
  /** PEM certificates to trust for this host instead of the system's. */
  ca?: string | undefined
  credentials?: Credentials | undefined
  /** Plain HTTP, for a registry on loopback only. Default false. */
  plainHttp?: boolean | undefined
  userAgent?: string | undefined
  /** The longest silence of the registry, in milliseconds. Default 30 000. */
  timeoutMs?: number | undefined
  retry?: Partial<RetryPolicy> | undefined
  /** How fast it may be used. Default: as fast as it goes, and as it asks for. */
  limits?: RateLimits | undefined
  /** Lets uploads go on that another process began. Default: none are. */
  uploads?: UploadMemory | undefined
  /** Jitter, from 0 to 1. Default Math.random. */
  random?: (() => number) | undefined
  /** Milliseconds since 1970. Default Date.now. */
  now?: (() => number) | undefined
}

/** A connection pool to one registry. Expensive to make, cheap to share: make one per host and close it at the end. */
export class Registry {
  readonly host: string
  readonly #transport: Transport

  /** @throws OciError `InvalidReference` when `host` is not `host` or `host:port` */
  constructor(options: RegistryOptions) {
    if (!isHost(options.host))
      throw new OciError('InvalidReference', `"${options.host.slice(0, 200)}" is not a registry host. Write it as host or host:port.`)
    this.host = options.host
    this.#transport = new Transport({
      host: options.host,
      ca: options.ca,
      credentials: options.credentials,
      plainHttp: options.plainHttp ?? false,
      userAgent: options.userAgent ?? 'muster',
      timeoutMs: options.timeoutMs ?? 30_000,
      retry: { ...defaultRetry, ...options.retry },
      limits: options.limits ?? {},
      uploads: options.uploads,
      random: options.random ?? Math.random,
      now: options.now ?? Date.now,
    })
  }

  /** @throws OciError `InvalidReference` */
  repository(name: string): Repository {
    if (!isRepository(name)) {
      throw new OciError('InvalidReference', `"${name.slice(0, 300)}" is not a repository name (lower-case letters, digits, . _ - and /).`)
    }
    return new Repository(this.#transport, name)
  }

  /** Whether the registry answers and takes the credentials. @throws OciError `Unauthorized`, `Unreachable`, `Untrusted`, … */
  async ping(options: CallOptions = {}): Promise<void> {
    await this.#transport.call({ method: 'GET', to: '/v2/', scope: '', accept: [200], signal: options.signal }, (answer) =>
      answer.discard(),
    )
  }

  /** Names of its repositories. @throws OciError `NotFound`, `Denied` or `Unsupported` where it does not tell them */
  repositories(options: CallOptions = {}): Promise<string[]> {
    return listRepositories(this.#transport, options)
  }

  /** What an administrator does with a registry of Muster's own. */
  get administration(): Administration {
    return new Administration(this.#transport)
  }

  /** Ends idle and running connections. */
  close(): void {
    this.#transport.close()
  }
}
