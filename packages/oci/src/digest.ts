import { createHash } from 'node:crypto'
import { OciError } from './errors.ts'

const digestPattern = /^sha256:([0-9a-f]{64})$/

/** Whether `text` is a sha256 digest as the OCI image spec writes it (`sha256:` and 64 lower-case hex digits). */
export function isDigest(text: string): boolean {
  return digestPattern.test(text)
}

/**
 * The 64 hex digits of a digest.
 * @throws OciError `InvalidDigest`; only sha256 is accepted (image-spec, descriptor, "Registered Algorithms").
 */
export function digestHex(digest: string): string {
  const hex = digestPattern.exec(digest)?.[1]
  if (hex === undefined) {
    throw new OciError(
      'InvalidDigest',
      `"${digest.slice(0, 100)}" is not a sha256 digest. Give it as sha256: and 64 lower-case hex digits.`,
    )
  }
  return hex
}

/** The sha256 digest of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** What must hold for content: its digest, and its size in bytes. */
export interface Expected {
  readonly digest: string
  readonly size: number
}

/**
 * Checks bytes in memory.
 * @throws OciError `SizeMismatch` or `DigestMismatch`
 */
export function verifyBytes(bytes: Uint8Array, expected: Expected, where: string): void {
  if (bytes.length !== expected.size) throw sizeMismatch(expected, bytes.length, where)
  const actual = digestOf(bytes)
  if (actual !== expected.digest) throw digestMismatch(expected.digest, actual, where)
}

/**
 * Passes content through and throws at the end when it is not what was expected, or as soon as it is too long. Whoever consumes it
 * must not use what came before the end was reached.
 * @throws OciError `SizeMismatch` or `DigestMismatch`
 */
export async function* verifyStream(content: AsyncIterable<Uint8Array>, expected: Expected, where: string): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of content) {
    size += chunk.length
    if (size > expected.size) throw sizeMismatch(expected, size, where)
    hash.update(chunk)
    yield chunk
  }
  if (size !== expected.size) throw sizeMismatch(expected, size, where)
  const actual = `sha256:${hash.digest('hex')}`
  if (actual !== expected.digest) throw digestMismatch(expected.digest, actual, where)
}

export function digestMismatch(expected: string, actual: string, where: string): OciError {
  return new OciError(
    'DigestMismatch',
    `Content from ${where} is ${actual}, not ${expected}: it was changed or damaged. Push it again from a trusted source.`,
  )
}

function sizeMismatch(expected: Expected, actual: number, where: string): OciError {
  const relation = actual > expected.size ? 'more than' : 'only'
  return new OciError(
    'SizeMismatch',
    `Content ${expected.digest} from ${where} has ${relation} ${Math.min(actual, expected.size)} bytes; ${expected.size} were promised. Push it again.`,
  )
}
