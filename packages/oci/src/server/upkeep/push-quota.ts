import { isDigest } from '../../digest.ts'
import { maximumManifestBytes } from '../../manifest.ts'
import { isRepository } from '../../reference.ts'
import { Refusal } from '../refusal.ts'
import type { Route } from '../route.ts'
import type { Store } from '../store.ts'
import type { UploadSession, Uploads } from '../uploads.ts'
import type { Visit } from '../visit.ts'
import type { Claim, Quotas } from './quotas.ts'

/** While a body of unknown length comes in, its claim grows in steps of this many bytes. */
const stepBytes = 1024 * 1024

/** Puts quotas before whatever brings content into a repository. Refused means gone: no part of an upload stays. */
export class PushQuota {
  readonly #store: Store
  readonly #uploads: Uploads
  readonly #quotas: Quotas
  /** Of uploads that are open, by their ids. */
  readonly #claims = new Map<string, { readonly repository: string; readonly claim: Claim }>()

  constructor(store: Store, uploads: Uploads, quotas: Quotas) {
    this.#store = store
    this.#uploads = uploads
    this.#quotas = quotas
  }

  /** Serves a request that writes. @throws Refusal DENIED, SIZE_INVALID (411) */
  async serve(visit: Visit, route: Route, work: (visit: Visit) => Promise<void>): Promise<void> {
    const { method } = visit
    if (!('repository' in route) || !this.#quotas.applyTo(route.repository)) return work(visit)
    if (route.kind === 'uploads' && method === 'POST') return this.#begin(visit, route.repository, work)
    if (route.kind === 'upload') return this.#upload(visit, route.repository, route.id, work)
    if (route.kind === 'manifest' && method === 'PUT')
      return this.#claimed(visit, route.repository, lengthOf(visit) ?? maximumManifestBytes, work)
    return work(visit)
  }

  /** Gives back what uploads claimed that are not there any more: finished while nobody looked, or expired. */
  sweep(): void {
    for (const [id, { repository, claim }] of this.#claims) if (this.#session(repository, id) === undefined) this.#release(id, claim)
  }

  async #begin(visit: Visit, repository: string, work: (visit: Visit) => Promise<void>): Promise<void> {
    const mount = visit.query.get('mount')
    const from = visit.query.get('from')
    // What a repository under the same quotas holds is counted already.
    const counted = [repository, ...(from !== null && isRepository(from) && this.#quotas.countTogether(from, repository) ? [from] : [])]
    const size = mount === null || (await this.#held(counted, mount)) ? 0 : await this.#sizeOf(mount)
    if (!visit.query.has('digest')) return this.#claimed(visit, repository, size, work)
    const length = lengthOf(visit)
    // Its upload would have no address by which the rest of it could be removed.
    if (length === undefined)
      throw new Refusal(411, 'SIZE_INVALID', 'a blob in one request needs Content-Length here: this repository has a quota')
    return this.#claimed(visit, repository, Math.max(size, length), work)
  }

  /** A request that brings all of it, or nothing. */
  async #claimed(visit: Visit, repository: string, bytes: number, work: (visit: Visit) => Promise<void>): Promise<void> {
    const claim = this.#quotas.claim(repository)
    try {
      await this.#quotas.grow(claim, bytes)
      await work(visit)
      // An upload that was only begun (202) brought nothing yet.
      if (visit.response.statusCode === 201) this.#quotas.keep(claim)
    } finally {
      this.#quotas.release(claim)
    }
  }

  async #upload(visit: Visit, repository: string, id: string, work: (visit: Visit) => Promise<void>): Promise<void> {
    const session = this.#uploads.get(repository, id)
    const known = this.#claims.get(id)?.claim
    const claim = known ?? this.#quotas.claim(repository)
    if (known === undefined) this.#claims.set(id, { repository, claim })
    try {
      const length = lengthOf(visit)
      const start = session.size
      if (length !== undefined) await this.#quotas.grow(claim, start + length)
      await work(length === undefined ? { ...visit, arrived: (bytes) => this.#stepTo(claim, start + bytes) } : visit)
    } catch (error) {
      if (error instanceof Refusal && error.code === 'DENIED') await this.#uploads.remove(session)
      throw error
    } finally {
      this.#settle(visit, session, claim)
    }
  }

  #settle(visit: Visit, session: UploadSession, claim: Claim): void {
    if (this.#session(session.repository, session.id) !== undefined) return
    if (visit.response.statusCode === 201) this.#quotas.keep(claim)
    this.#release(session.id, claim)
  }

  #stepTo(claim: Claim, bytes: number): Promise<void> | undefined {
    if (bytes <= claim.bytes) return undefined
    return this.#quotas.grow(claim, Math.ceil(bytes / stepBytes) * stepBytes).catch(() => this.#quotas.grow(claim, bytes))
  }

  #release(id: string, claim: Claim): void {
    this.#claims.delete(id)
    this.#quotas.release(claim)
  }

  #session(repository: string, id: string): UploadSession | undefined {
    try {
      return this.#uploads.get(repository, id)
    } catch {
      return undefined
    }
  }

  async #held(repositories: readonly string[], digest: string): Promise<boolean> {
    if (!isDigest(digest)) return false
    for (const repository of repositories) if ((await this.#store.blobSize(repository, digest)) !== undefined) return true
    return false
  }

  async #sizeOf(digest: string): Promise<number> {
    return isDigest(digest) ? ((await this.#store.contentSize(digest)) ?? 0) : 0
  }
}

function lengthOf({ request }: Visit): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  const length = request.headers['content-length']
  return length === undefined ? 0 : Number(length)
}
