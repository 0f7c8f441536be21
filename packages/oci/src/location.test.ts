import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OciError } from './errors.ts'
import { formatLocation, parseLocation } from './location.ts'

const digest = `sha256:${'a'.repeat(64)}`

describe('where an artifact is', () => {
  it.each([
    [
      'registry.example/team/app:1.0',
      { kind: 'registry', reference: { host: 'registry.example', repository: 'team/app', tag: '1.0' }, hostGiven: true },
    ],
    ['localhost/app', { kind: 'registry', reference: { host: 'localhost', repository: 'app' }, hostGiven: true }],
    ['oci:./out', { kind: 'layout', dir: './out' }],
    ['oci:/tmp/out:registry.example/app:1.0', { kind: 'layout', dir: '/tmp/out', tag: 'registry.example/app:1.0' }],
    [`oci:out@${digest}`, { kind: 'layout', dir: 'out', digest }],
    ['archive:media', { kind: 'archive', file: 'media' }],
    ['archive:media:bundles/a:1', { kind: 'archive', file: 'media', tag: 'bundles/a:1' }],
    ['./a/media.tar', { kind: 'archive', file: './a/media.tar' }],
    ['media.tar.zst:6.9.2', { kind: 'archive', file: 'media.tar.zst', tag: '6.9.2' }],
    [`media.tar@${digest}`, { kind: 'archive', file: 'media.tar', digest }],
    ['media.tar:5000/app:1', { kind: 'registry', reference: { host: 'media.tar:5000', repository: 'app', tag: '1' }, hostGiven: true }],
  ])('%s', (text, location) => {
    expect(parseLocation(text)).toEqual(location)
    expect(parseLocation(formatLocation(parseLocation(text)))).toEqual(location)
  })

  it('a reference without a host is in the one that is given', () => {
    expect(parseLocation('bundles/podinfo:6.9.2', { host: '10.0.0.1:5000' })).toEqual({
      kind: 'registry',
      reference: { host: '10.0.0.1:5000', repository: 'bundles/podinfo', tag: '6.9.2' },
      hostGiven: false,
    })
  })

  it.each(['', 'oci:', 'archive::x', 'oci:out:', './out', '/tmp/out', 'oci:out@sha256:123', 'a\nb', 'x'.repeat(5000)])(
    '%j is refused',
    (text) => {
      expect(() => parseLocation(text)).toThrow(OciError)
    },
  )

  it('any text is read or refused, and what is read is written the same', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        try {
          const location = parseLocation(text)
          expect(parseLocation(formatLocation(location))).toMatchObject({ kind: location.kind })
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })
})
