import { once } from '../artifact.ts'
import type { BlobOptions, CallOptions, ContentSource, ContentTarget, PutBlobOptions } from '../content.ts'
import { digestMismatch, digestOf, isDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import {
  type Descriptor,
  isManifestType,
  manifestMediaTypes,
  maximumManifestBytes,
  parseManifest,
  referrerDescriptor,
} from '../manifest.ts'
import { isTag } from '../reference.ts'
import { addReferrer, filterReferrers, readReferrers, referrersTag } from '../referrers.ts'
import { downloadBlob, downloadRest } from './download.ts'
import type { Answer } from './exchange.ts'
import { namesIn, pages } from './pages.ts'
import { readAll, type Transport } from './transport.ts'
import { emptyBody, Upload, uploadLocation } from './upload.ts'

const accepted = manifestMediaTypes.join(', ')
const maximumTags = 100_000
const maximumReferrers = 10_000
const fallbackRounds = 4

/** One repository of a registry. Cheap; made by `Registry.repository`. */
export class Repository implements ContentSource, ContentTarget {
  readonly name: string
  readonly host: string
  readonly #transport: Transport

  constructor(transport: Transport, name: string) {
    this.#transport = transport
    this.name = name
    this.host = transport.options.host
  }

  async resolve(tagOrDigest: string, options: CallOptions = {}): Promise<Descriptor | undefined> {
    const reference = this.#reference(tagOrDigest)
    const found = await this.#transport.call(
      {
        method: 'HEAD',
        to: this.#path(`manifests/${reference}`),
        scope: this.#pull,
        headers: { accept: accepted },
        accept: [200, 404],
        signal: options.signal,
      },
      (answer) => {
        answer.discard()
        return answer.status === 404 ? 'none' : this.#described(answer, reference)
      },
    )
    if (found === 'none') return undefined
    if (found !== undefined) return found
    // A registry may leave headers out of HEAD; the content itself always says.
    return (await this.#get(reference, options.signal))?.descriptor
  }

  async manifest(digest: string, options: CallOptions = {}): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const reference = this.#reference(digest)
    const found = await this.#get(reference, options.signal)
    if (found !== undefined) return found
    throw new OciError('NotFound', `${this.#place(reference)} does not exist. Check the name, or push it first.`)
  }

  blob(descriptor: Descriptor, options: BlobOptions = {}): AsyncIterable<Uint8Array> {
    return downloadBlob(this.#transport, this.name, descriptor, options)
  }

  blobRest(descriptor: Descriptor, from: number, options: BlobOptions = {}): AsyncIterable<Uint8Array> {
    return downloadRest(this.#transport, this.name, descriptor, from, options)
  }

  async referrers(digest: string, options: CallOptions & { artifactType?: string | undefined } = {}): Promise<Descriptor[]> {
    const fallback = referrersTag(digest)
    const { artifactType, signal } = options
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
    const entries: Descriptor[] = []
    const call = {
      scope: this.#pull,
      headers: { accept: accepted },
      signal,
      path: this.#path(`referrers/${digest}${query}`),
      orMissing: true,
    }
    for await (const page of pages(this.#transport, call)) {
      // No referrers API here: the tag schema (distribution-spec, "Unavailable Referrers API").
      if (page === undefined) return filterReferrers(await this.#tagged(fallback, signal), artifactType)
      entries.push(...readReferrers(page))
      if (entries.length > maximumReferrers)
        throw new OciError('TooLarge', `${this.#place(digest)} has more than ${maximumReferrers} referrers.`)
    }
    // Filtered here too: a registry need not (OCI-Filters-Applied says whether it did).
    return filterReferrers(entries, artifactType)
  }

  async hasManifest(digest: string, options: CallOptions = {}): Promise<boolean> {
    return (await this.resolve(digest, options)) !== undefined
  }

  async hasBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<boolean> {
    return this.#transport.call(
      { method: 'HEAD', to: this.#path(`blobs/${descriptor.digest}`), scope: this.#pull, accept: [200, 404], signal: options.signal },
      (answer) => {
        answer.discard()
        const length = answer.headers['content-length']
        return answer.status === 200 && (length === undefined || Number(length) === descriptor.size)
      },
    )
  }

  async putManifest(bytes: Uint8Array, mediaType: string, options: CallOptions & { tag?: string | undefined } = {}): Promise<Descriptor> {
    const manifest = parseManifest(bytes, mediaType)
    const descriptor: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    const { tag, signal } = options
    const reference = tag === undefined ? descriptor.digest : this.#reference(tag)
    const listed = await this.#transport.call(
      {
        method: 'PUT',
        to: this.#path(`manifests/${reference}`),
        scope: this.#push,
        headers: { 'content-type': mediaType },
        accept: [201],
        body: { length: bytes.length, open: () => once(bytes) },
        signal,
      },
      (answer) => {
        answer.discard()
        const stored = answer.headers['docker-content-digest']
        if (stored !== undefined && stored !== descriptor.digest)
          throw digestMismatch(descriptor.digest, String(stored).slice(0, 100), this.#place(reference))
        return answer.headers['oci-subject'] !== undefined
      },
    )
    if (manifest.subject !== undefined && !listed)
      await this.#addToTag(manifest.subject.digest, referrerDescriptor(descriptor, manifest), signal)
    return descriptor
  }

  async putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, options: PutBlobOptions = {}): Promise<void> {
    const upload = new Upload(this.#transport, this.name, descriptor, content, options)
    await upload.run(() => this.hasBlob(descriptor, options))
  }

  async adopt(descriptor: Descriptor, source: ContentSource, options: CallOptions = {}): Promise<boolean> {
    if (!(source instanceof Repository) || source.host !== this.host || source.name === this.name) return false
    return this.mount(descriptor, source.name, options)
  }

  /** Takes a blob over from another repository of this registry without sending it. False: the registry did not. */
  async mount(descriptor: Descriptor, fromRepository: string, options: CallOptions = {}): Promise<boolean> {
    const scope = `${this.#push} repository:${fromRepository}:pull`
    const query = new URLSearchParams({ mount: descriptor.digest, from: fromRepository })
    const session = await this.#transport.call(
      { method: 'POST', to: this.#path(`blobs/uploads/?${query}`), scope, accept: [201, 202], body: emptyBody, signal: options.signal },
      (answer) => {
        answer.discard()
        return answer.status === 201 ? undefined : uploadLocation(answer)
      },
    )
    if (session === undefined) return true
    // The registry opened an upload instead; it is given up, and expires by itself where that cannot be said.
    const cancelled = { method: 'DELETE', to: session, scope: this.#push, accept: [202, 204], signal: options.signal } as const
    await this.#transport.once(cancelled).then(
      (answer) => answer.discard(),
      () => options.signal?.throwIfAborted(),
    )
    return false
  }

  /** All tags, in the registry's order. @throws OciError `NotFound` when the repository does not exist */
  async tags(options: CallOptions = {}): Promise<string[]> {
    const tags: string[] = []
    const call = { scope: this.#pull, headers: {}, signal: options.signal, path: this.#path('tags/list?n=1000'), orMissing: false }
    for await (const page of pages(this.#transport, call)) {
      tags.push(...namesIn(page ?? new Uint8Array(), 'tags', `tags of ${this.#place('tags')}`, isTag))
      if (tags.length > maximumTags) throw new OciError('TooLarge', `${this.host}/${this.name} has more than ${maximumTags} tags.`)
    }
    return tags
  }

  /** Deletes a tag, or a manifest by digest with its tags. False: it was not there. */
  async deleteManifest(tagOrDigest: string, options: CallOptions = {}): Promise<boolean> {
    const to = this.#path(`manifests/${this.#reference(tagOrDigest)}`)
    return this.#transport.call({ method: 'DELETE', to, scope: this.#delete, accept: [202, 404], signal: options.signal }, (answer) => {
      answer.discard()
      return answer.status === 202
    })
  }

  get #pull(): string {
    return `repository:${this.name}:pull`
  }

  get #push(): string {
    return `repository:${this.name}:pull,push`
  }

  get #delete(): string {
    return `repository:${this.name}:delete,pull`
  }

  #path(rest: string): string {
    return `/v2/${this.name}/${rest}`
  }

  #place(reference: string): string {
    return `${this.host}/${this.name}${isDigest(reference) ? '@' : ':'}${reference}`
  }

  #reference(text: string): string {
    if (isDigest(text) || isTag(text)) return text
    throw new OciError('InvalidReference', `"${text.slice(0, 200)}" is neither a tag nor a sha256 digest.`)
  }

  async #get(reference: string, signal: AbortSignal | undefined): Promise<{ descriptor: Descriptor; bytes: Uint8Array } | undefined> {
    const call = {
      method: 'GET',
      to: this.#path(`manifests/${reference}`),
      scope: this.#pull,
      headers: { accept: accepted },
      accept: [200, 404],
      signal,
    } as const
    return this.#transport.call(call, async (answer) => {
      if (answer.status === 404) {
        answer.discard()
        return undefined
      }
      const bytes = await readAll(answer, maximumManifestBytes)
      const digest = digestOf(bytes)
      const expected = isDigest(reference) ? reference : answer.headers['docker-content-digest']
      if (expected !== undefined && expected !== digest)
        throw digestMismatch(String(expected).slice(0, 100), digest, this.#place(reference))
      const { mediaType } = parseManifest(bytes, contentType(answer))
      return { descriptor: { mediaType, digest, size: bytes.length }, bytes }
    })
  }

  /** The descriptor that a HEAD tells, or undefined when it does not tell all. */
  #described(answer: Answer, reference: string): Descriptor | undefined {
    const digest = answer.headers['docker-content-digest'] ?? (isDigest(reference) ? reference : undefined)
    const length = answer.headers['content-length']
    const mediaType = contentType(answer)
    if (typeof digest !== 'string' || !isDigest(digest) || length === undefined || mediaType === undefined || !isManifestType(mediaType))
      return undefined
    if (isDigest(reference) && digest !== reference) throw digestMismatch(reference, digest, this.#place(reference))
    return { mediaType, digest, size: Number(length) }
  }

  async #tagged(tag: string, signal: AbortSignal | undefined): Promise<Descriptor[]> {
    const index = await this.#get(tag, signal)
    return index === undefined ? [] : readReferrers(index.bytes)
  }

  /**
   * Lists a referrer at the fallback tag. Two writers can overwrite each other there, and the specification offers no lock: so it is
   * read back and written again while the entry is missing.
   */
  async #addToTag(subject: string, descriptor: Descriptor, signal: AbortSignal | undefined): Promise<void> {
    const tag = referrersTag(subject)
    for (let round = 0; round < fallbackRounds; round += 1) {
      const bytes = addReferrer(await this.#tagged(tag, signal), descriptor)
      if (bytes === undefined) return
      await this.putManifest(bytes, 'application/vnd.oci.image.index.v1+json', { tag, signal })
    }
    if (addReferrer(await this.#tagged(tag, signal), descriptor) === undefined) return
    throw new OciError(
      'ServerError',
      `${this.#place(tag)} is overwritten by others faster than ${descriptor.digest} can be added. Push it again.`,
    )
  }
}

function contentType(answer: Answer): string | undefined {
  return answer.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
}
