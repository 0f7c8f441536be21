import { isDigest } from '../digest.ts'
import { type Descriptor, readDescriptor } from '../manifest.ts'
import { invalidArchive } from './tar.ts'

/** The file in an archive that only carries what changed. */
export const baseFile = 'muster-base.json'

/** What an archive does not carry since it is there already. */
export interface Base {
  /** What must be there: digests of the artifacts that this one follows. */
  readonly roots: readonly string[]
  /** Blobs that were left out. */
  readonly omitted: readonly Descriptor[]
}

const maximumBaseBytes = 64 * 1024 * 1024
const maximumOmitted = 500_000

export function writeBase(base: Base): Uint8Array {
  const omitted = base.omitted.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
  return new TextEncoder().encode(JSON.stringify({ roots: base.roots, omitted }))
}

/** @throws OciError `InvalidArchive`, `TooLarge` */
export async function readBase(
  small: (name: string, limit: number) => Promise<Uint8Array | undefined>,
  file: string,
): Promise<Base | undefined> {
  const bytes = await small(baseFile, maximumBaseBytes)
  if (bytes === undefined) return undefined
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalidArchive(file, `${baseFile} in it is not JSON`, cause)
  }
  const { roots, omitted }: { roots?: unknown; omitted?: unknown } = typeof json === 'object' && json !== null ? json : {}
  const isList = Array.isArray(roots) && roots.length > 0 && roots.every((root) => typeof root === 'string' && isDigest(root))
  if (!isList || !Array.isArray(omitted) || omitted.length > maximumOmitted)
    throw invalidArchive(file, `${baseFile} in it does not say what it follows`)
  return { roots, omitted: omitted.map((entry, at) => readDescriptor(entry, `omitted[${at}] of ${baseFile}`)) }
}
