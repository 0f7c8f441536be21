import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tooOld } from './age.ts'
import { compileConditions } from './condition.ts'
import { namePattern } from './pattern.ts'
import { quorumOf } from './quorum.ts'
import { readPolicy } from './source.ts'

describe('a pattern', () => {
  const matches = (pattern: string, name: string) => namePattern(pattern)?.matches(name)

  it('takes * for a part of a segment and ** for any part', () => {
    expect(matches('bundles/*', 'bundles/shop')).toBe(true)
    expect(matches('bundles/*', 'bundles/team/shop')).toBe(false)
    expect(matches('bundles/**', 'bundles/team/shop')).toBe(true)
    expect(matches('bundles/shop', 'bundles/shopping')).toBe(false)
    expect(matches('*.example/**/app*', 'registry.example/a/b/app-1')).toBe(true)
    expect(matches('registry.example/**', 'registry.example.evil.test/app')).toBe(false)
    expect(matches('**', '')).toBe(true)
  })

  it('is none with white space, control characters, what only looks like ASCII, or more stars', () => {
    for (const text of ['', 'a b', 'a\n', 'registry.exаmple/**', 'a***b', 'x'.repeat(513)]) expect(namePattern(text)).toBeUndefined()
  })

  it('takes time by length only', () => {
    const started = performance.now()
    expect(matches(`${'**a'.repeat(150)}`, 'a'.repeat(149).padEnd(500, 'b'))).toBe(false)
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  it('matches what a regular expression of the same meaning does', () => {
    const part = fc.array(fc.constantFrom('a', 'b', '/', '*', '**'), { maxLength: 6 }).map((parts) => parts.join(''))
    const name = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 8 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(part, name, (text, of) => {
        const pattern = namePattern(text)
        if (pattern === undefined) return
        const expression = new RegExp(
          `^${text
            .replaceAll('**', '.')
            .replaceAll('*', '[^/]*')
            .replaceAll(/(?<!\[\^\/\])\.(?!\*)/g, '.*')}$`,
        )
        expect(pattern.matches(of)).toBe(expression.test(of))
      }),
    )
  })
})

describe('an age', () => {
  const now = new Date('2030-01-10T00:00:00Z')
  const of = (predicate: unknown, rule: Parameters<typeof tooOld>[0], signedAt?: Date) =>
    tooOld(rule, { predicateType: 'https://slsa.dev/provenance/v1', predicate, signedAt }, now)

  it('is told by the known place of the type, by the place that a rule names, or by a time stamp', () => {
    const finishedOn = '2030-01-09T23:00:00Z'
    expect(of({ runDetails: { metadata: { finishedOn } } }, { maxAge: '2h' })).toBeUndefined()
    expect(of({ at: { time: finishedOn } }, { maxAge: '2h', timeField: 'at.time' })).toBeUndefined()
    expect(of({}, { maxAge: '2h' }, new Date(finishedOn))).toBeUndefined()
    expect(of({}, { maxAge: '2h' })).toContain('no time')
  })

  it('a rule that says where the time is takes no other', () => {
    expect(of({}, { maxAge: '2h', timeField: 'at' }, now)).toContain('gives no time at at')
    expect(of({ at: '2030-01-09' }, { maxAge: '2d', timeField: 'at' })).toContain('is no time')
    expect(of(JSON.parse('{"__proto__": {"at": "2030-01-10T00:00:00Z"}}'), { maxAge: '2h', timeField: '__proto__.at' })).toBeUndefined()
    expect(of({}, { maxAge: '2h', timeField: 'constructor.name' })).toContain('gives no time')
  })
})

describe('a condition', () => {
  const ask = async (text: string, predicate: unknown) => {
    const [condition] = await compileConditions([text], 'Policy test')
    return condition?.refuses({
      predicate,
      predicateType: 'https://example.test/t',
      name: 'registry.example/app',
      digest: 'sha256:00',
      now: new Date(0),
    })
  }

  it('sees whole numbers as integers and every key as a key', async () => {
    expect(await ask('predicate.n + 1 == 8 && predicate.f < 0.6', { n: 7, f: 0.5 })).toBeUndefined()
    expect(await ask('predicate["__proto__"] == 1', JSON.parse('{"__proto__": 1}'))).toBeUndefined()
    expect(await ask('predicate.constructor == 1', {})).toContain('cannot be answered')
    expect(await ask('predicate.all(x, x.severity != "HIGH")', [{ severity: 'LOW' }])).toBeUndefined()
    expect(await ask('name.startsWith("registry.example/") && now < timestamp("2000-01-01T00:00:00Z")', {})).toBeUndefined()
  })

  it('that is neither true nor false refuses', async () => {
    expect(await ask('predicate.n', { n: 1 })).toContain('neither true nor false')
    expect(await ask('predicate.n', {})).toContain('cannot be answered')
  })

  it('is ended when it takes too long, in a loop or in a regular expression', async () => {
    const many = Array.from({ length: 5000 }, (_, at) => at)
    const started = performance.now()
    expect(await ask('predicate.all(a, predicate.all(b, predicate.all(c, a + b + c >= 0)))', many)).toContain('cannot be answered')
    expect(await ask('predicate.matches("^(a+)+$")', `${'a'.repeat(40)}!`)).toContain('cannot be answered')
    expect(performance.now() - started).toBeLessThan(5000)
  })

  it('does not look into what is too deep', async () => {
    const deep = JSON.parse(`${'['.repeat(100)}${']'.repeat(100)}`) as unknown
    expect(await ask('true', deep)).toContain('too deep')
  })
})

describe('a quorum', () => {
  const count = (...pairs: [string, string][]) => quorumOf(pairs.map(([authority, identity]) => ({ authority, identity })))

  it('counts authorities, each by an identity of its own', () => {
    expect(count()).toBe(0)
    expect(count(['a', '1'], ['a', '2'])).toBe(1)
    expect(count(['a', '1'], ['b', '1'])).toBe(1)
    expect(count(['a', '1'], ['a', '2'], ['b', '1'])).toBe(2)
    expect(count(['a', '1'], ['b', '1'], ['c', '2'], ['c', '3'])).toBe(2)
  })
})

describe('a policy from outside', () => {
  const good = {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'TrustPolicy',
    metadata: { name: 'org' },
    spec: { rules: [{ name: 'r', match: { bundles: ['**'] }, signatures: [{ authorities: ['a'] }] }] },
  }
  const refused = (object: unknown) =>
    expect(() => readPolicy(object, 'policy.yaml')).toThrow(expect.objectContaining({ code: 'PolicyInvalid' }))

  it('speaks at the level of the clusters that it is for', () => {
    expect(readPolicy(good, 'f')?.level).toBe('organization')
    expect(readPolicy({ ...good, spec: { ...good.spec, clusters: { matchLabels: { site: 'x' } } } }, 'f')?.level).toBe('enclave')
    expect(readPolicy({ ...good, spec: { ...good.spec, clusters: { names: ['alpha'] } } }, 'f')?.level).toBe('cluster')
    expect(readPolicy({ ...good, kind: 'EnclavePolicy', spec: { trust: good.spec } }, 'f')?.level).toBe('site')
    expect(readPolicy({ ...good, kind: 'EnclavePolicy', spec: {} }, 'f')).toBeUndefined()
  })

  it('with a field that is not known is refused: a threshold spelled wrong must not read as none', () => {
    const [rule] = good.spec.rules
    refused({ ...good, spec: { rules: [{ ...rule, signatures: [{ authorities: ['a'], treshold: 2 }] }] } })
    refused({ ...good, kind: 'ConfigMap' })
    refused({ ...good, spec: {} })
    refused('text')
  })

  it('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (spec, rule) => {
        for (const object of [spec, { ...good, spec }, { ...good, spec: { rules: [rule] } }]) {
          try {
            readPolicy(object, 'f')
          } catch (error) {
            expect(error).toMatchObject({ code: 'PolicyInvalid' })
          }
        }
      }),
    )
  })
})
