import type { TrustRules } from '@muster/api'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf, envelope, keyAuthority, signers } from '../testing/envelopes.ts'
import { mergePolicies, type PolicyLevel, type PolicySource, policyLevels } from './compile.ts'
import { evaluate, type Subject } from './evaluate.ts'

const names = ['alice', 'bob', 'carol'] as const
const keys = signers(...names)
const digest = digestOf('artifact')
const now = new Date('2030-01-10T00:00:00Z')
const types = ['https://example.test/scan', 'https://example.test/approval']
const authorities = names.map((name) => keyAuthority(name, keys[name]))
const rulesOf = (...rules: TrustRules['rules']): TrustRules => ({ authorities, rules })
const source = (level: PolicyLevel, rules: TrustRules, name: string = level): PolicySource => ({ name, level, rules })
const code = (message: string) =>
  expect.objectContaining({ name: 'TrustError', code: 'PolicyInvalid', message: expect.stringContaining(message) })

const patterns = fc.array(fc.constantFrom('**', 'bundles/*', 'bundles/shop', 'bundles/other'), { minLength: 1, maxLength: 2 })
const quorum = fc
  .subarray([...names], { minLength: 1 })
  .chain((chosen) => fc.record({ authorities: fc.constant(chosen), threshold: fc.integer({ min: 1, max: chosen.length }) }))
const attestation = fc
  .tuple(
    quorum,
    fc.constantFrom(...types),
    fc.option(fc.constantFrom('1d', '30d')),
    fc.constantFrom(undefined, 'predicate.n < 3', 'predicate.n < 7'),
  )
  .map(([of, predicateType, maxAge, where]) => ({
    predicateType,
    ...of,
    ...(maxAge === null ? {} : { maxAge, timeField: 'at' }),
    ...(where === undefined ? {} : { where: [where] }),
  }))
const rule = fc
  .record({ bundles: patterns, signatures: fc.array(quorum, { maxLength: 2 }), attestations: fc.array(attestation, { maxLength: 2 }) })
  .filter(({ signatures, attestations }) => signatures.length + attestations.length > 0)
  .map(({ bundles, ...demands }) => ({ match: { bundles }, ...demands }))
const policy = fc
  .array(rule, { minLength: 1, maxLength: 3 })
  .map((rules) => rulesOf(...rules.map((one, at) => ({ name: `r${at}`, ...one }))))
const evidence = fc.array(
  fc.record({
    by: fc.constantFrom(...names),
    as: fc.constantFrom(undefined, ...types),
    n: fc.integer({ min: 0, max: 9 }),
    at: fc.constantFrom('2030-01-09T12:00:00Z', '2030-01-01T00:00:00Z', '2020-01-01T00:00:00Z'),
  }),
  { maxLength: 6 },
)
const subject: fc.Arbitrary<Subject> = fc
  .constantFrom('bundles/shop', 'bundles/other', 'elsewhere/shop')
  .map((name) => ({ kind: 'bundle', names: [name], digest }))

describe('merging policies', () => {
  it('only tightens: whatever the upper levels refuse is refused with the lower ones too', async () => {
    await fc.assert(
      fc.asyncProperty(
        policy,
        fc.array(policy, { minLength: 1, maxLength: 2 }),
        fc.nat(2),
        evidence,
        subject,
        async (upper, lower, top, given, one) => {
          const upperLevel = policyLevels[top] ?? 'organization'
          const above = [source(upperLevel, upper)]
          const below = lower.map((rules, at) => source(policyLevels[top + 1] ?? 'site', rules, `lower${at}`))
          const found = {
            envelopes: given.map(({ by, as, n, at }) =>
              envelope(keys[by], digest, as === undefined ? {} : { predicateType: as, predicate: { n, at } }),
            ),
            problems: [],
          }
          const verdictOf = async (sources: PolicySource[]) => (await evaluate(one, found, await mergePolicies(sources), { now })).accepted
          const [before, after] = [await verdictOf(above), await verdictOf([...below, ...above])]
          expect(before || !after).toBe(true)
        },
      ),
      { numRuns: 200 },
    )
  }, 60_000)

  it('lets a lower level raise thresholds and shorten ages over what the levels above named', async () => {
    const upper = source(
      'organization',
      rulesOf({ name: 'one', match: { bundles: ['**'] }, signatures: [{ authorities: ['alice', 'bob'] }] }),
    )
    const lower = source('site', {
      rules: [{ name: 'both', match: { bundles: ['**'] }, signatures: [{ authorities: ['alice', 'bob'], threshold: 2 }] }],
    })
    const found = { envelopes: [envelope(keys.alice, digest)], problems: [] }
    const shop: Subject = { kind: 'bundle', names: ['bundles/shop'], digest }
    expect((await evaluate(shop, found, await mergePolicies([upper]), { now })).accepted).toBe(true)
    const verdict = await evaluate(shop, found, await mergePolicies([upper, lower]), { now })
    expect(verdict.demands.map(({ met, level }) => [level, met])).toEqual([
      ['organization', true],
      ['site', false],
    ])
  })

  it('lets no level change what another one named', async () => {
    const upper = source('organization', rulesOf({ name: 'one', match: { bundles: ['**'] }, signatures: [{ authorities: ['alice'] }] }))
    const lower = source('cluster', {
      authorities: [keyAuthority('alice', keys.carol)],
      rules: [{ name: 'own', match: { bundles: ['**'] }, signatures: [{ authorities: ['alice'] }] }],
    })
    const merged = await mergePolicies([lower, upper])
    const shop: Subject = { kind: 'bundle', names: ['bundles/shop'], digest }
    const verdict = async (...by: (typeof names)[number][]) =>
      (await evaluate(shop, { envelopes: by.map((name) => envelope(keys[name], digest)), problems: [] }, merged, { now })).accepted
    expect([await verdict('alice'), await verdict('carol'), await verdict('alice', 'carol')]).toEqual([false, false, true])
  })

  it('refuses what a level below alone covers', async () => {
    const upper = source(
      'organization',
      rulesOf({ name: 'a', match: { bundles: ['bundles/a'] }, signatures: [{ authorities: ['alice'] }] }),
    )
    const lower = source('site', rulesOf({ name: 'b', match: { bundles: ['bundles/b'] }, signatures: [{ authorities: ['bob'] }] }))
    const b: Subject = { kind: 'bundle', names: ['bundles/b'], digest }
    const found = { envelopes: [envelope(keys.bob, digest)], problems: [] }
    expect(await evaluate(b, found, await mergePolicies([upper, lower]), { now })).toMatchObject({ accepted: false, coveredBy: 'nothing' })
    expect(await evaluate(b, found, await mergePolicies([lower]), { now })).toMatchObject({ accepted: true })
  })

  it('of nothing accepts nothing', async () => {
    const merged = await mergePolicies([])
    const shop: Subject = { kind: 'bundle', names: ['bundles/shop'], digest }
    expect(await evaluate(shop, { envelopes: [], problems: [] }, merged, { now })).toMatchObject({ accepted: false })
  })
})

describe('a policy that says nothing, or something impossible, is refused as such', () => {
  const match = { bundles: ['**'] }
  const signatures = [{ authorities: ['alice'] }]
  it.each<[string, TrustRules]>([
    ['demands nothing', rulesOf({ name: 'r', match })],
    ['matches nothing', rulesOf({ name: 'r', match: {}, signatures })],
    ['names no authority dave', rulesOf({ name: 'r', match, signatures: [{ authorities: ['dave'] }] })],
    ['asks for 2 of 1', rulesOf({ name: 'r', match, signatures: [{ authorities: ['alice', 'alice'], threshold: 2 }] })],
    ['a pattern that is none', rulesOf({ name: 'r', match: { images: ['registry.example/аpp'] }, signatures })],
    ['two rules of the name', rulesOf({ name: 'r', match, signatures }, { name: 'r', match, signatures })],
    [
      'the authority alice twice',
      { authorities: [...authorities, keyAuthority('alice', keys.bob)], rules: [{ name: 'r', match, signatures }] },
    ],
    ['exactly one of', { authorities: [{ name: 'x' }], rules: [{ name: 'r', match, signatures: [{ authorities: ['x'] }] }] }],
    ['cannot be used', { authorities: [{ name: 'x', key: { publicKeys: ['no key'] } }], rules: [{ name: 'r', match, signatures }] }],
    [
      'without subject',
      {
        authorities: [{ name: 'x', x509: { roots: ['pem'], identities: [{ issuer: 'CN=CA' }] } }],
        rules: [{ name: 'r', match, signatures }],
      },
    ],
    [
      'without issuer',
      {
        authorities: [{ name: 'x', sigstore: { trustedRoot: '{}', identities: [{ subject: 'a@example.test' }] } }],
        rules: [{ name: 'r', match, signatures }],
      },
    ],
    ...['predicate.', '1 + 1', 'unknown == 1', 'predicate == "x" &&'].map((where): [string, TrustRules] => [
      'no CEL expression',
      rulesOf({ name: 'r', match, attestations: [{ predicateType: 't', authorities: ['alice'], where: [where] }] }),
    ]),
  ])('%s', async (message, rules) => {
    await expect(mergePolicies([source('organization', rules)])).rejects.toThrow(code(message))
  })
})
