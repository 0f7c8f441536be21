import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { HostError } from './errors.ts'

/** The node's root file system: an erofs file and the digest that it must have ("sha256:…"). */
export interface NodeImage {
  readonly path: string
  readonly digest: string
}

/** Files read and found right, by everything that changes when their content does (ctime cannot be set back). */
const verified = new Map<string, Promise<string>>()

/**
 * Reads the whole image and compares its digest; a file that did not change since is not read again.
 * @throws HostError `ImageDigest`
 */
export async function verifyNodeImage(image: NodeImage): Promise<void> {
  const held = await stat(image.path, { bigint: true })
  const key = [image.path, held.dev, held.ino, held.size, held.mtimeNs, held.ctimeNs].join(' ')
  const digest = verified.get(key) ?? digestOf(image.path)
  verified.set(key, digest)
  const found = await digest.catch((error: unknown) => {
    verified.delete(key)
    throw error
  })
  if (found !== image.digest) {
    throw new HostError(
      'ImageDigest',
      `Node image ${image.path} is ${found}, not ${image.digest}: it was changed or damaged; build it again.`,
    )
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}
