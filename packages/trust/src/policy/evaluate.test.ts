import type { TrustRules } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { type RefusalReason, TrustError } from '../errors.ts'
import { keyHint } from '../keys/keys.ts'
import { digestOf, envelope, keyAuthority, signers } from '../testing/envelopes.ts'
import { mergePolicies } from './compile.ts'
import { type EvaluateOptions, type Evidence, evaluate, type Subject, type SubjectVerdict } from './evaluate.ts'

const keys = signers('alice', 'bob', 'carol', 'mallory')
const digest = digestOf('artifact')
const now = new Date('2030-01-10T00:00:00Z')
const bundle: Subject = { kind: 'bundle', names: ['bundles/shop'], digest }
const scan = 'https://cosign.sigstore.dev/attestation/vuln/v1'
const authorities = [keyAuthority('alice', keys.alice), keyAuthority('bob', keys.bob), keyAuthority('carol', keys.carol)]

const scanned = (finishedOn?: string, more: object = {}) => ({
  predicateType: scan,
  predicate: { metadata: finishedOn === undefined ? {} : { scanFinishedOn: finishedOn }, ...more },
})

async function judge(
  rule: Partial<TrustRules['rules'][number]>,
  evidence: Partial<Evidence>,
  { subject = bundle, ...options }: Partial<EvaluateOptions> & { subject?: Subject } = {},
): Promise<SubjectVerdict> {
  const rules = { authorities, rules: [{ name: 'all', match: { bundles: ['**'], images: ['**'] }, ...rule }] }
  const policy = await mergePolicies([{ name: 'org', level: 'organization', rules }])
  return evaluate(subject, { envelopes: [], problems: [], ...evidence }, policy, { now, ...options })
}

const bySignature = { signatures: [{ authorities: ['alice'] }] }
const byScan = (more: object = {}) => ({ attestations: [{ predicateType: scan, authorities: ['alice'], ...more }] })

describe('a policy', () => {
  it('takes what its authorities signed, and says who', async () => {
    const verdict = await judge(bySignature, { envelopes: [envelope(keys.mallory, digest), envelope(keys.alice, digest)] })
    expect(verdict).toMatchObject({ accepted: true, coveredBy: 'rule', read: 2, unread: [] })
    expect(verdict.demands[0]).toMatchObject({ met: true, demand: 'signature', found: [{ authority: 'alice' }] })
    expect(verdict.demands[0]?.refused).toMatchObject([{ reason: 'WrongKey' }])
  })

  it('that asks for two of three takes no less, and one signer never stands for two', async () => {
    const two = { signatures: [{ authorities: ['alice', 'bob', 'carol'], threshold: 2 }] }
    const one = envelope(keys.alice, digest)
    expect(await judge(two, { envelopes: [one, one, envelope(keys.mallory, digest)] })).toMatchObject({
      accepted: false,
      reason: 'WrongKey',
    })
    expect(await judge(two, { envelopes: [one, envelope(keys.carol, digest)] })).toMatchObject({ accepted: true })
  })

  it('takes an attestation for a signature as little as a signature for an attestation', async () => {
    expect(await judge(bySignature, { envelopes: [envelope(keys.alice, digest, scanned())] })).toMatchObject({ reason: 'NoneFound' })
    expect(await judge(byScan(), { envelopes: [envelope(keys.alice, digest)] })).toMatchObject({ reason: 'NoneFound' })
    expect(await judge(byScan(), { envelopes: [envelope(keys.alice, digest, scanned())] })).toMatchObject({ accepted: true })
  })

  it('judges the age of an attestation by the time in it, and takes none that gives no time', async () => {
    const rule = byScan({ maxAge: '3d' })
    const of = (time?: string) => judge(rule, { envelopes: [envelope(keys.alice, digest, scanned(time))] })
    expect(await of('2030-01-08T00:00:00Z')).toMatchObject({ accepted: true })
    expect(await of('2030-01-01T00:00:00Z')).toMatchObject({ accepted: false, reason: 'TooOld' })
    expect(await of('2031-01-01T00:00:00Z')).toMatchObject({ accepted: false, reason: 'TooOld' })
    expect(await of('yesterday')).toMatchObject({ accepted: false, reason: 'TooOld' })
    expect(await of()).toMatchObject({ accepted: false, reason: 'TooOld' })
  })

  it('finds what runs already too old, and does not refuse it for that', async () => {
    const evidence = { envelopes: [envelope(keys.alice, digest, scanned('2030-01-01T00:00:00Z'))] }
    const verdict = await judge(byScan({ maxAge: '3d' }), evidence, { refuseOld: false })
    expect(verdict.accepted).toBe(true)
    expect(verdict.findings?.[0]).toContain('9 days old')
  })

  it('asks conditions of what an attestation says', async () => {
    const rule = byScan({ where: ['predicate.critical == 0', 'predicate.score < 7.0'] })
    const of = (more: object) => judge(rule, { envelopes: [envelope(keys.alice, digest, scanned(undefined, more))] })
    expect(await of({ critical: 0, score: 6.5 })).toMatchObject({ accepted: true })
    expect(await of({ critical: 0, score: 6 })).toMatchObject({ accepted: true })
    expect(await of({ critical: 2, score: 1 })).toMatchObject({
      reason: 'PredicateRefused',
      message: expect.stringContaining('critical == 0'),
    })
    expect(await of({ score: 1 })).toMatchObject({ reason: 'PredicateRefused', message: expect.stringContaining('No such key') })
    expect(await of({ critical: 'none', score: 1 })).toMatchObject({ accepted: false })
  })

  it('refuses what no rule covers, unless a verified bundle names it', async () => {
    const rule = { ...bySignature, match: { bundles: ['bundles/other'] } }
    const evidence = { envelopes: [envelope(keys.alice, digest)] }
    expect(await judge(rule, evidence)).toMatchObject({ accepted: false, coveredBy: 'nothing', reason: 'NoneFound' })
    const subject: Subject = { kind: 'image', names: ['registry.example/app'], digest }
    expect(await judge(rule, evidence, { subject, inBundle: true })).toMatchObject({ accepted: true, coveredBy: 'bundle', demands: [] })
  })

  it('holds an image to the rules of any name that it goes by', async () => {
    const subject: Subject = {
      kind: 'image',
      names: ['registry.example/mirror/docker.io/library/nginx', 'docker.io/library/nginx'],
      digest,
    }
    const rule = { ...bySignature, match: { images: ['docker.io/**'] } }
    expect(await judge(rule, {}, { subject })).toMatchObject({ accepted: false, coveredBy: 'rule', reason: 'NoneFound' })
  })
})

describe('pain 13: "unsigned" is never said for another reason', () => {
  const problem = (code: RefusalReason) => new TrustError(code, `It is ${code}.`)
  const changed = {
    ...envelope(keys.alice, digest),
    signatures: [{ sig: Buffer.from('x') }],
    material: { publicKeyHint: keyHint(keys.alice.publicKey) },
  }

  it.each<[RefusalReason, Parameters<typeof judge>[0], Partial<Evidence>]>([
    ['NoneFound', bySignature, {}],
    ['UnknownFormat', bySignature, { problems: [problem('UnknownFormat')] }],
    ['WrongKey', bySignature, { envelopes: [envelope(keys.mallory, digest)] }],
    ['RegistryUnreachable', bySignature, { problems: [problem('RegistryUnreachable')] }],
    ['DataDamaged', bySignature, { problems: [problem('DataDamaged')] }],
    ['DataDamaged', bySignature, { envelopes: [changed] }],
    ['DataDamaged', bySignature, { envelopes: [{ ...envelope(keys.alice, digestOf('other')) }] }],
    ['TooOld', byScan({ maxAge: '1d' }), { envelopes: [envelope(keys.alice, digest, scanned('2020-01-01T00:00:00Z'))] }],
    ['PredicateRefused', byScan({ where: ['false'] }), { envelopes: [envelope(keys.alice, digest, scanned())] }],
  ])('but %s', async (reason, rule, evidence) => {
    const verdict = await judge(rule, evidence)
    expect(verdict).toMatchObject({ accepted: false, reason })
    expect(verdict.demands[0]).toMatchObject({ met: false, reason })
  })

  it('and of several the most telling comes first, with all of them listed', async () => {
    const { demands } = await judge(byScan({ maxAge: '1d' }), {
      envelopes: [envelope(keys.mallory, digest, scanned()), envelope(keys.alice, digest, scanned('2020-01-01T00:00:00Z'))],
      problems: [problem('UnknownFormat')],
    })
    expect(demands[0]?.refused.map(({ reason }) => reason)).toEqual(['TooOld', 'UnknownFormat', 'WrongKey'])
    expect(demands[0]?.reason).toBe('TooOld')
  })
})

describe('pain 14: missing data is not shown as clean', () => {
  it('what could not be read is listed, whatever the verdict', async () => {
    const problems = [
      new TrustError('RegistryUnreachable', 'It does not answer.'),
      new TrustError('UnknownFormat', 'It is of a kind not known.'),
    ]
    for (const envelopes of [[], [envelope(keys.alice, digest)]]) {
      const verdict = await judge(bySignature, { envelopes, problems })
      expect(verdict).toMatchObject({ accepted: envelopes.length > 0, read: envelopes.length })
      expect(verdict.unread.map(({ reason }) => reason)).toEqual(['RegistryUnreachable', 'UnknownFormat'])
    }
  })

  it('what no rule covered says so', async () => {
    const subject: Subject = { kind: 'image', names: ['registry.example/app'], digest }
    const rule = { ...bySignature, match: { bundles: ['**'] } }
    expect(await judge(rule, {}, { subject, inBundle: true })).toMatchObject({ coveredBy: 'bundle', read: 0 })
    expect(await judge(rule, {}, { subject })).toMatchObject({ accepted: false, coveredBy: 'nothing' })
  })
})
