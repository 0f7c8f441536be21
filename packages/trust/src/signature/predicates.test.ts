import { describe, expect, it } from 'vitest'
import { demandPredicate, predicateNameOf, predicateNames, predicateTypeFor } from './predicates.ts'
import { statementFor } from './statement.ts'

const code = (expected: string) => expect.objectContaining({ name: 'TrustError', code: expected })
const now = '2030-01-01T00:00:00Z'

const good: Readonly<Record<string, unknown>> = {
  slsaprovenance: {
    buildDefinition: { buildType: 'https://example.test/build/v1', externalParameters: { source: 'git' } },
    runDetails: { builder: { id: 'https://example.test/builder' }, metadata: { startedOn: now } },
  },
  spdx: { spdxVersion: 'SPDX-2.3', SPDXID: 'SPDXRef-DOCUMENT', name: 'app', packages: [] },
  cyclonedx: { bomFormat: 'CycloneDX', specVersion: '1.6', components: [{ type: 'library', name: 'x' }] },
  vuln: { scanner: { uri: 'pkg:generic/scanner@1', result: {} }, metadata: { scanStartedOn: now, scanFinishedOn: now } },
  scan: {
    scanner: { name: 's', version: '1' },
    scannedAt: now,
    database: { updatedAt: now },
    covered: ['apk'],
    notRead: ['rpm'],
    findings: [{ id: 'CVE-2030-1', severity: 'high' }],
  },
  compliance: { framework: { name: 'Example' }, checkedBy: { name: 'c' }, checkedAt: now, controls: [{ id: 'A-1', status: 'pass' }] },
  'test-result': { result: 'PASSED', configuration: [{ name: 'unit' }] },
  approval: { approver: { name: 'Ada' }, decision: 'approved', decidedAt: now },
}

describe('a predicate', () => {
  it.each(predicateNames)('of the known type %s is taken when it is whole, and refused by the field that is missing', (name) => {
    const type = predicateTypeFor(name)
    expect(predicateNameOf(type)).toBe(name)
    expect(() => demandPredicate(type, good[name])).not.toThrow()
    expect(() => demandPredicate(type, {})).toThrow(code('StatementInvalid'))
    expect(() => demandPredicate(type, 'text')).toThrow(code('StatementInvalid'))
  })

  it('of a scan must say what it covered and how old its data are: no findings from no data is refused', () => {
    const { covered: _, ...without } = good['scan'] as { covered: unknown }
    expect(() => demandPredicate(predicateTypeFor('scan'), without)).toThrow(/covered/)
  })

  it('of any other type is taken by its URI, and checked by a JSON schema where one is given', () => {
    const type = predicateTypeFor('https://example.test/review/v1')
    const schema = { type: 'object', required: ['by'], properties: { by: { type: 'string' } } }
    expect(() => demandPredicate(type, { by: 'ada' }, schema)).not.toThrow()
    expect(() => demandPredicate(type, { by: 1 }, schema)).toThrow(/by: /)
    expect(() => demandPredicate(type, {}, { type: 'object', if: {} })).toThrow(/schema cannot be used/)
  })

  it.each([
    'wat',
    '',
    'constructor',
    '__proto__',
    'https://exаmple.test/',
    'https://example.test/ x',
    'https://sigstore.dev/cosign/sign/v1',
  ])('type %j is refused', (name) => {
    expect(() => predicateTypeFor(name)).toThrow(code('StatementInvalid'))
  })
})

describe('a statement', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  it('is not made with annotation names or values that look like others, nor of gigabytes', () => {
    for (const annotations of [{ а: 'x' }, { 'a b': 'x' }, { a: 'x\u202ey' }, { a: 'x\u0000' }])
      expect(() => statementFor({ digest, annotations })).toThrow(code('StatementInvalid'))
    expect(() => statementFor({ digest, predicateType: 'x:y', predicate: 'z'.repeat(13_000_000) })).toThrow(code('StatementInvalid'))
    expect(() => statementFor({ digest, annotations: { name: 'Größe' } })).not.toThrow()
  })
})
