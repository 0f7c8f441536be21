import type { BlobOptions } from '../content.ts'
import { verifyStream } from '../digest.ts'
import { OciError } from '../errors.ts'
import type { Descriptor } from '../manifest.ts'
import type { Answer } from './exchange.ts'
import type { Transport } from './transport.ts'

/** A blob, verified, going on where it broke off (distribution-spec, "Pulling blobs", Range). */
export function downloadBlob(
  transport: Transport,
  repository: string,
  descriptor: Descriptor,
  options: BlobOptions,
): AsyncGenerator<Uint8Array> {
  return verifyStream(downloadRest(transport, repository, descriptor, 0, options), descriptor, `${transport.options.host}/${repository}`)
}

/** A try that brings less is as good as none: else a registry that trickles would never be given up. */
const progressBytes = 16 * 1024
/** From so many on, a connection of its own is soon paid for. */
const bulkBytes = 8 * 1024 * 1024

/** What comes after the first `from` bytes of a blob, not verified. */
export async function* downloadRest(
  transport: Transport,
  repository: string,
  descriptor: Descriptor,
  from: number,
  options: BlobOptions,
): AsyncGenerator<Uint8Array> {
  const { signal } = options
  const retries = transport.retries(signal)
  let offset = from
  let sinceFailure = 0
  for (;;) {
    try {
      const answer = await transport.once({
        method: 'GET',
        to: `/v2/${repository}/blobs/${descriptor.digest}`,
        scope: `repository:${repository}:pull`,
        // Asked for as it is: a coding would change the bytes that the digest is over.
        headers: { 'accept-encoding': 'identity', ...(offset === 0 ? {} : { range: `bytes=${offset}-` }) },
        accept: [200, 206],
        bulk: options.reuse === true && descriptor.size - offset >= bulkBytes,
        signal,
      })
      let skip = offset - startOf(answer)
      for await (const chunk of answer.body) {
        const rest = skip === 0 ? chunk : chunk.subarray(skip)
        skip -= chunk.length - rest.length
        if (rest.length === 0) continue
        offset += rest.length
        sinceFailure += rest.length
        if (sinceFailure >= progressBytes) retries.progressed()
        yield rest
      }
      return
    } catch (error) {
      if (offset >= descriptor.size && error instanceof OciError && error.transient) return
      sinceFailure = 0
      await retries.failed(error)
    }
  }
}

/** At which byte the body starts. A registry without ranges sends all of it again. */
function startOf(answer: Answer): number {
  if (answer.status === 200) return 0
  const start = /^bytes ([0-9]{1,15})-[0-9]{1,15}\//.exec(answer.headers['content-range'] ?? '')?.[1]
  if (start === undefined) {
    answer.discard()
    throw new OciError('BadResponse', `${answer.url.host} sent a part of a blob without saying which (Content-Range).`)
  }
  return Number(start)
}
