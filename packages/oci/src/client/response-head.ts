import { OciError } from '../errors.ts'

/** What an answer begins with (RFC 9112). Names are in lower case; of several lines of one name the first counts. */
export interface ResponseHead {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Of the body, in bytes; undefined where only its end tells (chunked, or the end of the connection). */
  readonly length: number | undefined
  /** How long the head itself is, with its empty line. */
  readonly bytes: number
}

const end = '\r\n\r\n'
const maximumHeadBytes = 16 * 1024
const name = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * The head that `bytes` begin with; undefined while it has not come whole.
 * @throws OciError `BadResponse` for what is no HTTP/1, or has no end
 */
export function readResponseHead(bytes: Uint8Array, host: string): ResponseHead | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, maximumHeadBytes)).toString('latin1')
  const length = text.indexOf(end)
  if (length < 0 && bytes.length >= maximumHeadBytes) throw malformed(host)
  if (length < 0) return undefined
  const [statusLine = '', ...lines] = text.slice(0, length).split('\r\n')
  const status = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: |$)/.exec(statusLine)?.[1]
  if (status === undefined) throw malformed(host)
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    const colon = line.indexOf(':')
    const key = line.slice(0, Math.max(0, colon)).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (!name.test(key) || /[\r\n\0]/.test(value)) throw malformed(host)
    // Two lengths that differ are no length.
    if (key === 'content-length' && headers[key] !== undefined && headers[key] !== value) throw malformed(host)
    // A registry may offer several ways to sign in, each on a line of its own.
    if (headers[key] === undefined) headers[key] = value
    else if (key === 'www-authenticate') headers[key] += `, ${value}`
  }
  const told = headers['transfer-encoding'] === undefined ? headers['content-length'] : undefined
  if (told !== undefined && !/^[0-9]{1,15}$/.test(told)) throw malformed(host)
  return { status: Number(status), headers, length: told === undefined ? undefined : Number(told), bytes: length + end.length }
}

function malformed(host: string): OciError {
  return new OciError('BadResponse', `${host} did not answer in HTTP. Check the address and port.`)
}
