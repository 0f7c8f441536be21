import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OciError } from './errors.ts'
import { formatReference, isRepository, mirrorRepository, parseReference } from './reference.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

const digest = `sha256:${'a'.repeat(64)}`

const component = fc.stringMatching(/^[a-z0-9]{1,5}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}$/)
const repository = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
const host = fc.stringMatching(/^[a-z0-9]{1,8}\.[a-z]{2,6}(?::[1-9][0-9]{1,3})?$/).filter((name) => name !== 'index.docker.io')
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)

describe('image names', () => {
  it.each([
    ['registry.example:5000/team/app:1.0', { host: 'registry.example:5000', repository: 'team/app', tag: '1.0' }],
    [`registry.example/app@${digest}`, { host: 'registry.example', repository: 'app', digest }],
    [`registry.example/app:1.0@${digest}`, { host: 'registry.example', repository: 'app', tag: '1.0', digest }],
    ['localhost/app', { host: 'localhost', repository: 'app' }],
    ['localhost:5000/app', { host: 'localhost:5000', repository: 'app' }],
    ['[fe80::1]:5000/app', { host: '[fe80::1]:5000', repository: 'app' }],
    ['nginx', { host: 'docker.io', repository: 'library/nginx' }],
    ['nginx:1.27', { host: 'docker.io', repository: 'library/nginx', tag: '1.27' }],
    ['team/app', { host: 'docker.io', repository: 'team/app' }],
    ['docker.io/nginx', { host: 'docker.io', repository: 'library/nginx' }],
    ['index.docker.io/team/app', { host: 'docker.io', repository: 'team/app' }],
  ])('reads %s as container engines do', (text, expected) => {
    expect(parseReference(text)).toEqual(expected)
  })

  it.each([
    '',
    ':',
    '@',
    'registry.example/',
    'registry.example/App',
    'registry.example/a//b',
    'registry.example/../etc',
    'registry.example/app:',
    'registry.example/app:-bad',
    'registry.example/app@sha256:short',
    `registry.example/app@${digest}@${digest}`,
    'registry.example:99999/app',
    'http://registry.example/app',
    'registry.example/app tag',
    `registry.example/${'a'.repeat(256)}`,
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'InvalidReference' }))
  })

  it('come back the same after formatting', () => {
    const references = fc.record({ host, repository, tag, digest: fc.constant(digest) }, { requiredKeys: ['host', 'repository'] })
    fc.assert(
      fc.property(references, (reference) => {
        expect(parseReference(formatReference(reference))).toEqual(reference)
      }),
    )
  })

  it('never fail with anything but an OciError, whatever the text', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9.:@/_-]{0,60}$/))
    fc.assert(
      fc.property(text, (name) => {
        try {
          const parsed = parseReference(name)
          expect(isRepository(parsed.repository)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })

  it('are checked in linear time, however long and contrived', () => {
    const started = performance.now()
    expect(isRepository(`${'a-'.repeat(127)}!`)).toBe(false)
    expect(isRepository(`${'-'.repeat(200_000)}`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(10_000)
  })
})

describe('mirror names', () => {
  it('keep host, port and path apart', () => {
    expect(mirrorRepository({ host: 'Registry.example:5000', repository: 'team/app' })).toBe('mirror/registry.example__5000/team/app')
  })

  it('are valid repositories, different for different images', () => {
    fc.assert(
      fc.property(host, repository, host, repository, (hostA, pathA, hostB, pathB) => {
        const a = mirrorRepository({ host: hostA, repository: pathA })
        const b = mirrorRepository({ host: hostB, repository: pathB })
        expect(isRepository(a)).toBe(true)
        expect(a === b).toBe(hostA === hostB && pathA === pathB)
      }),
    )
  })

  it('are refused where they could not be told apart', () => {
    expect(() => mirrorRepository({ host: '[::1]:5000', repository: 'app' })).toThrow(expect.objectContaining({ code: 'InvalidReference' }))
  })
})
