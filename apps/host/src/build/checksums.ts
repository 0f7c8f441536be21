import * as z from 'zod'
import { BuildError } from './build-error.ts'

export type Architecture = 'amd64' | 'arm64'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits')

const pinsSchema = z.strictObject({
  /** SHA-256 of the checksums file that may be used; null: any that the user names. */
  checksumsFile: sha256.nullable(),
  /** SHA-256 by name of binary. */
  binaries: z.record(z.string(), sha256),
})

const pinFileSchema = z.strictObject({ amd64: pinsSchema, arm64: pinsSchema })

export type Pins = z.infer<typeof pinsSchema>

/** Most bytes that a checksums file may have. */
export const checksumsLimit = 1024 * 1024

/**
 * Reads distro/checksums.json.
 *
 * @throws BuildError ChecksumsInvalid
 */
export function parsePins(text: string, arch: Architecture): Pins {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new BuildError('ChecksumsInvalid', 'distro/checksums.json is not JSON: restore it from the repository.', { cause })
  }
  const parsed = pinFileSchema.safeParse(data)
  if (!parsed.success) throw new BuildError('ChecksumsInvalid', `distro/checksums.json is not valid:\n${z.prettifyError(parsed.error)}`)
  return parsed.data[arch]
}

/**
 * Reads a file as `sha256sum` writes it: 64 hexadecimal digits, a space, a space or `*`, a name. Of a path the last part
 * counts. Empty lines and lines that start with `#` are passed over; anything else that is not of this form refuses the file,
 * and so does a name with two different sums.
 *
 * @throws BuildError ChecksumsInvalid
 */
export function parseChecksums(text: string): Map<string, string> {
  const sums = new Map<string, string>()
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '')
    if (line.trim() === '' || line.startsWith('#')) continue
    const match = /^([0-9a-fA-F]{64}) [ *](.+)$/.exec(line)
    const name = match?.[2]?.split('/').at(-1)
    const sum = match?.[1]?.toLowerCase()
    if (sum === undefined || name === undefined || name === '') {
      throw new BuildError('ChecksumsInvalid', `Line ${index + 1} of the checksums file is not as sha256sum writes it: "DIGEST  NAME".`)
    }
    if (sums.has(name) && sums.get(name) !== sum) {
      throw new BuildError('ChecksumsInvalid', `The checksums file gives two different digests for ${name}: remove the wrong one.`)
    }
    sums.set(name, sum)
  }
  return sums
}

/** What official binaries a release set is made of: all of a group, or none of it. */
export const binaryGroups = {
  kubernetes: ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'],
  containerd: ['containerd', 'containerd-shim-runc-v2', 'ctr'],
  cni: ['bridge', 'host-local', 'loopback', 'portmap'],
  coredns: ['coredns'],
} as const

export type BinaryGroup = keyof typeof binaryGroups

/**
 * Decides which binaries are taken from outside and what digest each must have: the pins of the repository and those of the
 * user's file together. Kubernetes must be there; of the other groups those that are named are taken and the rest is built.
 *
 * @param file the user's checksums file and its own digest, if one was named
 * @param fileDigest that the user demands of it, beside the one that the repository may pin
 * @throws BuildError ChecksumsMissing, ChecksumMismatch, ChecksumsInvalid, BinarySetIncomplete
 */
export function decideBinaries(o: {
  pins: Pins
  file?: { text: string; sha256: string } | undefined
  fileDigest?: string | undefined
}): Map<BinaryGroup, Map<string, string>> {
  const sums = new Map(Object.entries(o.pins.binaries))
  if (o.file !== undefined) {
    for (const demanded of [o.pins.checksumsFile, o.fileDigest]) {
      if (demanded != null && demanded !== o.file.sha256) {
        throw new BuildError(
          'ChecksumMismatch',
          `The checksums file has the digest ${o.file.sha256}, but ${demanded} is pinned: it is not the file that was agreed on.`,
        )
      }
    }
    for (const [name, sum] of parseChecksums(o.file.text)) {
      if (sums.has(name) && sums.get(name) !== sum) {
        throw new BuildError('ChecksumsInvalid', `The checksums file and distro/checksums.json give different digests for ${name}.`)
      }
      sums.set(name, sum)
    }
  } else if (o.fileDigest !== undefined) {
    throw new BuildError('ChecksumsMissing', 'A digest of the checksums file was given, but no checksums file (--binaries-checksums FILE).')
  }
  if (sums.size === 0) {
    throw new BuildError(
      'ChecksumsMissing',
      'Binaries from outside are used only with a known digest, and none is pinned: name a file as sha256sum writes it with --binaries-checksums FILE.',
    )
  }
  const groups = new Map<BinaryGroup, Map<string, string>>()
  for (const [group, names] of Object.entries(binaryGroups) as [BinaryGroup, readonly string[]][]) {
    const known = new Map<string, string>()
    for (const name of names) {
      const sum = sums.get(name)
      if (sum !== undefined) known.set(name, sum)
    }
    if (known.size === 0 && group !== 'kubernetes') continue
    if (known.size < names.length) {
      const missing = names.filter((name) => !known.has(name))
      throw new BuildError('BinarySetIncomplete', `The checksums lack ${missing.join(', ')} of ${group}: give all of its binaries.`)
    }
    groups.set(group, known)
  }
  return groups
}
