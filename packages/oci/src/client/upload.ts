import type { PutBlobOptions } from '../content.ts'
import { verifyStream } from '../digest.ts'
import { OciError } from '../errors.ts'
import type { Descriptor } from '../manifest.ts'
import type { Answer, Body } from './exchange.ts'
import type { Transport, UploadMemory } from './transport.ts'

/** Up to this size a blob is sent in one request: there is little to resume. */
const wholeBytes = 1024 * 1024

/** One blob on its way to a registry (distribution-spec, "Pushing blobs"): large ones go on where they broke off. */
export class Upload {
  readonly #transport: Transport
  readonly #repository: string
  readonly #descriptor: Descriptor
  readonly #content: () => AsyncIterable<Uint8Array>
  readonly #signal: AbortSignal | undefined
  #location: URL | undefined

  constructor(
    transport: Transport,
    repository: string,
    descriptor: Descriptor,
    content: () => AsyncIterable<Uint8Array>,
    options: PutBlobOptions,
  ) {
    this.#transport = transport
    this.#repository = repository
    this.#descriptor = descriptor
    // What says that it is verified must still be as long as it says, which the request's length sees to.
    this.#content = options.verified === true ? content : () => verifyStream(content(), descriptor, 'the content to push')
    this.#signal = options.signal
  }

  /** @param isThere asks whether the blob has arrived: an answer may be lost after the registry took it */
  async run(isThere: () => Promise<boolean>): Promise<void> {
    const retries = this.#transport.retries(this.#signal)
    await this.#recall()
    let furthest = 0
    for (let attempt = 0; ; attempt += 1) {
      try {
        if (attempt > 0 && (await isThere())) break
        const offset = await this.#begin()
        if (offset > furthest) retries.progressed()
        furthest = Math.max(furthest, offset)
        if (this.#descriptor.size <= wholeBytes) await this.#finish(offset, true)
        else {
          if (offset < this.#descriptor.size) await this.#send(offset)
          await this.#finish(this.#descriptor.size, false)
        }
        break
      } catch (error) {
        await retries.failed(this.#classify(error))
      }
    }
    await this.#memory?.forget(this.#key)
  }

  /** Where another process left this upload. An address elsewhere, or a session that is gone, only costs a new one. */
  async #recall(): Promise<void> {
    const location = await this.#memory?.recall(this.#key)
    if (location === undefined || !URL.canParse(location)) return
    const url = new URL(location)
    if (url.origin === this.#transport.origin.origin) this.#location = url
  }

  get #memory(): UploadMemory | undefined {
    return this.#descriptor.size > wholeBytes ? this.#transport.options.uploads : undefined
  }

  get #key(): string {
    return `${this.#transport.options.host}/${this.#repository}@${this.#descriptor.digest}`
  }

  /** Opens a session, or asks the open one how far it got. The number of bytes that the registry has. */
  async #begin(): Promise<number> {
    if (this.#location !== undefined) {
      const answer = await this.#call({ method: 'GET', to: this.#location, accept: [204, 404] })
      answer.discard()
      if (answer.status === 204) {
        this.#location = this.#nextLocation(answer)
        const got = receivedBytes(answer.headers.range)
        if (got !== undefined && got <= this.#descriptor.size) return got
      }
    }
    const answer = await this.#call({ method: 'POST', to: `/v2/${this.#repository}/blobs/uploads/`, accept: [202], body: emptyBody })
    answer.discard()
    this.#location = this.#nextLocation(answer)
    await this.#memory?.remember(this.#key, this.#location.href)
    return 0
  }

  async #send(offset: number): Promise<void> {
    const { size } = this.#descriptor
    const answer = await this.#call({
      method: 'PATCH',
      to: this.#session(),
      headers: { 'content-type': 'application/octet-stream', 'content-range': `${offset}-${size - 1}` },
      accept: [202],
      body: this.#rest(offset),
    })
    answer.discard()
    this.#location = this.#nextLocation(answer)
  }

  async #finish(offset: number, withContent: boolean): Promise<void> {
    const to = new URL(this.#session())
    to.searchParams.set('digest', this.#descriptor.digest)
    const answer = await this.#call({
      method: 'PUT',
      to,
      headers: { 'content-type': 'application/octet-stream' },
      accept: [201],
      body: withContent ? this.#rest(offset) : emptyBody,
    })
    answer.discard()
  }

  #rest(offset: number): Body {
    return {
      length: this.#descriptor.size - offset,
      open: () => skipBytes(this.#content(), offset),
    }
  }

  #call(call: Omit<Parameters<Transport['once']>[0], 'scope' | 'signal'>): Promise<Answer> {
    return this.#transport.once({ ...call, scope: `repository:${this.#repository}:pull,push`, signal: this.#signal })
  }

  /** A session that is gone or has another offset is no fault of the content: a new one may do. */
  #classify(error: unknown): unknown {
    if (!(error instanceof OciError) || (error.status !== 404 && error.status !== 416)) return error
    if (this.#location === undefined) return error
    if (error.status === 404) this.#location = undefined
    return new OciError('ServerError', `The registry lost the upload of ${this.#descriptor.digest}: ${error.message}`, { cause: error })
  }

  #session(): URL {
    if (this.#location === undefined) throw new OciError('BadResponse', `The upload of ${this.#descriptor.digest} has no address.`)
    return this.#location
  }

  #nextLocation(answer: Answer): URL {
    return uploadLocation(answer)
  }
}

/** Where an upload goes on. @throws OciError `BadResponse` */
export function uploadLocation(answer: Answer): URL {
  const { location } = answer.headers
  if (location === undefined || !URL.canParse(location, answer.url.href)) {
    throw new OciError('BadResponse', `${answer.url.host} took an upload without saying where it goes on (Location).`)
  }
  return new URL(location, answer.url)
}

export const emptyBody: Body = { length: 0, open: nothing }

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** `Range: 0-<last byte>` of an upload in bytes received. `0-0` is what registries say for none; one byte is then sent twice and refused. */
export function receivedBytes(range: string | undefined): number | undefined {
  const last = /^(?:bytes=)?0-([0-9]{1,15})$/.exec(range ?? '')?.[1]
  if (last === undefined) return undefined
  return last === '0' ? 0 : Number(last) + 1
}

async function* skipBytes(content: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let skip = bytes
  for await (const chunk of content) {
    const rest = skip === 0 ? chunk : chunk.subarray(skip)
    skip -= chunk.length - rest.length
    if (rest.length > 0) yield rest
  }
}
