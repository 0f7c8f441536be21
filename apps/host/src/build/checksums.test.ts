import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BuildErrorCode } from './build-error.ts'
import { binaryGroups, decideBinaries, type Pins, parseChecksums, parsePins } from './checksums.ts'

const noPins: Pins = { checksumsFile: null, binaries: {} }
const sum = (digit: string): string => digit.repeat(64)
const lines = (names: readonly string[]): string => names.map((name) => `${sum('a')}  ${name}\n`).join('')
const file = (text: string) => ({ text, sha256: sum('f') })
const code = (work: () => unknown): BuildErrorCode | undefined => {
  try {
    work()
  } catch (error) {
    return (error as { code: BuildErrorCode }).code
  }
  return undefined
}

describe('a checksums file', () => {
  it('is read as sha256sum writes it, in text and in binary mode, with paths, comments and Windows line ends', () => {
    const text = `# release\n\n${sum('a')}  kubelet\r\n${sum('B')} *bin/linux/amd64/kubectl\n`
    expect([...parseChecksums(text)]).toEqual([
      ['kubelet', sum('a')],
      ['kubectl', sum('b')],
    ])
  })

  it('is refused as a whole for one line that is none', () => {
    for (const text of ['kubelet', `${sum('a').slice(1)}  kubelet`, `${sum('a')}kubelet`, `${sum('g')}  kubelet`, `${sum('a')}  dir/`]) {
      expect(code(() => parseChecksums(`${sum('a')}  kubectl\n${text}\n`))).toBe('ChecksumsInvalid')
    }
  })

  it('is refused when it contradicts itself', () => {
    expect(code(() => parseChecksums(`${sum('a')}  kubelet\n${sum('b')}  kubelet\n`))).toBe('ChecksumsInvalid')
  })

  it('gives back any names and digests that were written into it', () => {
    const names = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/)
    const digests = fc.stringMatching(/^[0-9a-f]{64}$/)
    fc.assert(
      fc.property(fc.dictionary(names, digests), (all) => {
        const text = Object.entries(all).map(([name, digest]) => `${digest}  ${name}\n`)
        expect(Object.fromEntries(parseChecksums(text.join('')))).toEqual({ ...all })
      }),
    )
  })
})

describe('binaries from outside', () => {
  it('are refused where no digest is known', () => {
    expect(code(() => decideBinaries({ pins: noPins }))).toBe('ChecksumsMissing')
    expect(code(() => decideBinaries({ pins: noPins, fileDigest: sum('f') }))).toBe('ChecksumsMissing')
  })

  it('are refused where one of Kubernetes, or a part of another group, is missing', () => {
    for (const left of binaryGroups.kubernetes) {
      const names = binaryGroups.kubernetes.filter((name) => name !== left)
      expect(code(() => decideBinaries({ pins: noPins, file: file(lines(names)) }))).toBe('BinarySetIncomplete')
    }
    const half = [...binaryGroups.kubernetes, 'containerd', 'ctr']
    expect(code(() => decideBinaries({ pins: noPins, file: file(lines(half)) }))).toBe('BinarySetIncomplete')
  })

  it('take the groups that the checksums name and leave the others to be built', () => {
    const names = [...binaryGroups.kubernetes, ...binaryGroups.cni, 'kubeadm']
    const groups = decideBinaries({ pins: noPins, file: file(lines(names)) })
    expect([...groups.keys()]).toEqual(['kubernetes', 'cni'])
    expect(groups.get('cni')?.size).toBe(4)
  })

  it('are refused with another checksums file than the pinned one, whoever pinned it', () => {
    const text = lines(binaryGroups.kubernetes)
    expect(code(() => decideBinaries({ pins: { ...noPins, checksumsFile: sum('0') }, file: file(text) }))).toBe('ChecksumMismatch')
    expect(code(() => decideBinaries({ pins: noPins, file: file(text), fileDigest: sum('0') }))).toBe('ChecksumMismatch')
    expect(
      code(() => decideBinaries({ pins: { ...noPins, checksumsFile: sum('f') }, file: file(text), fileDigest: sum('f') })),
    ).toBeUndefined()
  })

  it('are refused where the file and the repository disagree on a digest', () => {
    const pins: Pins = { checksumsFile: null, binaries: { kubelet: sum('b') } }
    expect(code(() => decideBinaries({ pins, file: file(lines(binaryGroups.kubernetes)) }))).toBe('ChecksumsInvalid')
  })

  it('can be pinned in the repository alone', () => {
    const binaries = Object.fromEntries(binaryGroups.kubernetes.map((name) => [name, sum('c')]))
    expect(
      decideBinaries({ pins: { checksumsFile: null, binaries } })
        .get('kubernetes')
        ?.get('etcd'),
    ).toBe(sum('c'))
  })
})

describe('the pins of the repository', () => {
  it('are refused when they are malformed', () => {
    const good = { amd64: noPins, arm64: noPins }
    expect(parsePins(JSON.stringify(good), 'amd64')).toEqual(noPins)
    for (const bad of ['', '{}', JSON.stringify({ ...good, amd64: { ...noPins, binaries: { kubelet: 'abc' } } })]) {
      expect(code(() => parsePins(bad, 'amd64'))).toBe('ChecksumsInvalid')
    }
  })
})
