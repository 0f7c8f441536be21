import { OciError } from '../errors.ts'
import { maximumManifestBytes } from '../manifest.ts'
import { readAll, type Transport } from './transport.ts'

const maximumPages = 1000

export interface PagedCall {
  readonly path: string
  readonly scope: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal | undefined
  /** Yields undefined for a 404 of the first page, instead of throwing. */
  readonly orMissing: boolean
}

/** The pages of a list, following `Link: <…>; rel="next"` on the same registry only. */
export async function* pages(transport: Transport, call: PagedCall): AsyncGenerator<Uint8Array | undefined> {
  let next: URL | undefined = new URL(call.path, transport.origin)
  for (let page = 0; next !== undefined; page += 1) {
    if (page >= maximumPages)
      throw new OciError('TooLarge', `${transport.options.host} gives more than ${maximumPages} pages for ${call.path}.`)
    const to: URL = next
    const accept = call.orMissing && page === 0 ? [200, 404] : [200]
    const answer: { bytes: Uint8Array; next: URL | undefined } | undefined = await transport.call(
      { method: 'GET', to, scope: call.scope, headers: call.headers, accept, signal: call.signal },
      async (found) => {
        if (found.status !== 404) return { bytes: await readAll(found, maximumManifestBytes), next: nextLink(found.headers.link, to) }
        found.discard()
        return undefined
      },
    )
    yield answer?.bytes
    next = answer?.next
  }
}

/** Names in a page, which has them at a key; what is none is left out. */
export function namesIn(page: Uint8Array, key: string, list: string, isName: (text: string) => boolean): string[] {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(page))
  } catch (cause) {
    throw new OciError('BadResponse', `The list of ${list} is not JSON.`, { cause })
  }
  const names = typeof json === 'object' && json !== null ? (json as Record<string, unknown>)[key] : undefined
  if (names === null) return []
  if (!Array.isArray(names)) throw new OciError('BadResponse', `The list of ${list} has no "${key}".`)
  return names.filter((name: unknown): name is string => typeof name === 'string' && isName(name))
}

/** RFC 8288; only an address of the same origin is followed. */
export function nextLink(header: string | string[] | undefined, base: URL): URL | undefined {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '')
  const target = /<([^<>]{1,2048})>\s*;\s*rel="?next"?(?:[\s;,]|$)/i.exec(text)?.[1]
  if (target === undefined || !URL.canParse(target, base.href)) return undefined
  const url = new URL(target, base)
  return url.origin === base.origin ? url : undefined
}
