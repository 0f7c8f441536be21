import { createHash, timingSafeEqual } from 'node:crypto'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { ApiError } from './errors.ts'

/** Label that a Secret must have to be taken for a join token. */
const joinLabel = 'muster.dev/join'

/** By what the hub knows a token: SHA-256, hex. */
export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

export function tokenUsed(cluster: string, cause?: unknown): ApiError {
  return new ApiError('TokenUsed', `This join token of cluster ${cluster} was used already; each joins once. Ask for a new one.`, { cause })
}

/** A token that was found good and not yet used. */
export interface FoundToken {
  readonly cluster: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
}

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

/** One-time join tokens: a Secret `join-<cluster>` each, which holds the hash of a token and when it expires. */
export class JoinTokens {
  readonly #client: KubeClient
  readonly #namespace: string

  constructor(client: KubeClient, namespace: string) {
    this.#client = client
    this.#namespace = namespace
  }

  /**
   * Checks a token without using it up. Whether there is a token for a cluster is not told to who has none.
   * @throws ApiError `TokenWrongCluster`, `TokenRefused`, `TokenExpired`; KubeError
   */
  async check(cluster: string, token: string, now: Date, signal: AbortSignal): Promise<FoundToken> {
    // A token says by itself for whom it is (`<cluster>.<random>`), which tells nobody anything new.
    const [prefix] = token.includes('.') ? token.split('.', 1) : [cluster]
    if (prefix !== cluster)
      throw new ApiError('TokenWrongCluster', `This join token is for another cluster than ${cluster}. Each name has a token of its own.`)
    const name = `join-${cluster}`
    const secret = await this.#client.find<Secret>({ apiVersion: 'v1', kind: 'Secret', namespace: this.#namespace, name }, { signal })
    const usable = secret?.metadata.labels?.[joinLabel] === 'true' && secret.metadata.deletionTimestamp === undefined
    const expected = Buffer.from(usable ? decode(secret.data?.['token-sha256']) : '', 'hex')
    const given = createHash('sha256').update(token).digest()
    // Compared in the same time whatever is wrong, with zeros where there is no token.
    const good = timingSafeEqual(given, expected.length === given.length ? expected : Buffer.alloc(given.length))
    const { uid, resourceVersion } = secret?.metadata ?? {}
    if (!good || !usable || uid === undefined || resourceVersion === undefined)
      throw new ApiError('TokenRefused', `This is not the join token of cluster ${cluster}. Ask for a new one.`)
    const expiresAt = Date.parse(decode(secret.data?.['expires-at']))
    if (!(now.getTime() < expiresAt))
      throw new ApiError('TokenExpired', `The join token of cluster ${cluster} has expired. Ask for a new one.`)
    return { cluster, name, uid, resourceVersion }
  }

  /**
   * Uses a token up. Of several who try at once one succeeds: its Secret is deleted only as it was read, and only by who deletes it.
   * @throws ApiError `TokenUsed`; KubeError
   */
  async use({ cluster, name, uid, resourceVersion }: FoundToken, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/namespaces/${encodeURIComponent(this.#namespace)}/secrets/${encodeURIComponent(name)}`
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } }
    try {
      // Not `client.delete`, to which a Secret that someone else has just deleted is as good as deleted.
      await this.#client.raw('DELETE', path, { body, signal })
    } catch (error) {
      if (!isKubeError(error, 'NotFound', 'Conflict')) throw error
      throw tokenUsed(cluster, error)
    }
  }
}

function decode(value: string | undefined): string {
  return Buffer.from(value ?? '', 'base64')
    .toString('utf8')
    .trim()
}
