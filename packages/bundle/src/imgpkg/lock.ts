import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest, parseReference } from '@muster/oci'
import * as z from 'zod'
import { readDocuments } from '../documents.ts'
import { BundleError } from '../errors.ts'
import { limits } from '../limits.ts'

/** An image of an imgpkg bundle. */
export interface LockedImage {
  /** With its digest. */
  readonly reference: string
  /** What manifests call it, where that is another name. */
  readonly writtenAs?: string
}

/** `ImagesLock` of imgpkg.carvel.dev/v1alpha1. */
const lockSchema = z.object({
  apiVersion: z.literal('imgpkg.carvel.dev/v1alpha1'),
  kind: z.literal('ImagesLock'),
  images: z
    .array(z.object({ image: z.string().min(1).max(512), annotations: z.record(z.string(), z.string().max(4096)).optional() }))
    .max(10_000)
    .default([]),
})
const writtenAs = 'kbld.carvel.dev/id'

/**
 * Reads `.imgpkg/images.yml` of a folder.
 * @throws BundleError `SourceInvalid` where there is none, or it is none; `TooLarge`
 */
export async function readLock(dir: string, what: string): Promise<LockedImage[]> {
  const name = '.imgpkg/images.yml'
  const file = join(dir, name)
  const found = await stat(file).catch((cause: unknown) => {
    throw new BundleError('SourceInvalid', `${what} is no imgpkg bundle: it has no ${name}.`, { cause })
  })
  if (found.size > limits.chartFileBytes)
    throw new BundleError('TooLarge', `${name} of ${what} has more than ${limits.chartFileBytes} bytes.`)
  return parseLock(await readFile(file, 'utf8'), `${what}/${name}`)
}

/** The pure part of {@link readLock}. @throws BundleError `SourceInvalid` */
export function parseLock(text: string, file: string): LockedImage[] {
  const [document, ...more] = readDocuments(text, { file, code: 'SourceInvalid' })
  if (document === undefined || more.length > 0) throw new BundleError('SourceInvalid', `${file} must have one document.`)
  const checked = lockSchema.safeParse(document.value)
  if (!checked.success) {
    const [issue] = checked.error.issues
    throw new BundleError('SourceInvalid', `${document.position(issue?.path)}: ${issue?.path.join('.')}: ${issue?.message}`, {
      cause: checked.error,
    })
  }
  return checked.data.images.map(({ image, annotations }, at) => {
    const position = document.position(['images', at])
    if (!isPinned(image)) throw new BundleError('SourceInvalid', `${position}: "${image}" is no image with a digest.`)
    const name = annotations?.[writtenAs]
    return { reference: image, ...(name === undefined ? {} : { writtenAs: name }) }
  })
}

function isPinned(image: string): boolean {
  try {
    const { digest } = parseReference(image)
    return digest !== undefined && isDigest(digest)
  } catch {
    return false
  }
}
