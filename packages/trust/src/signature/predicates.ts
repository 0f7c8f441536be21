import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { isPlain } from './bounded-json.ts'
import { signPredicateType } from './statement.ts'

const text = z.string().min(1).max(65_536)
const uri = z.string().regex(/^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/, 'not a URI')
const time = z.iso.datetime({ offset: true })
const digests = z.record(z.string(), z.string())
/** in-toto's ResourceDescriptor (spec/v1/resource_descriptor.md). */
const resource = z.looseObject({ name: text.optional(), uri: uri.optional(), digest: digests.optional() })
const tool = z.looseObject({ name: text, version: text.optional() })

/** github.com/slsa-framework/slsa, spec/v1.0/provenance.md */
const slsaProvenance = z.looseObject({
  buildDefinition: z.looseObject({
    buildType: uri,
    externalParameters: z.record(z.string(), z.unknown()),
    internalParameters: z.record(z.string(), z.unknown()).optional(),
    resolvedDependencies: z.array(resource).optional(),
  }),
  runDetails: z.looseObject({
    builder: z.looseObject({ id: uri, version: z.record(z.string(), z.string()).optional() }),
    metadata: z.looseObject({ invocationId: text.optional(), startedOn: time.optional(), finishedOn: time.optional() }).optional(),
    byproducts: z.array(resource).optional(),
  }),
})

const spdx = z.union([
  z.looseObject({ spdxVersion: z.string().regex(/^SPDX-2\.[0-9]+$/), SPDXID: z.literal('SPDXRef-DOCUMENT'), name: text }),
  z.looseObject({ '@context': z.unknown(), '@graph': z.array(z.looseObject({})).min(1) }),
])

const cyclonedx = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.string().regex(/^1\.[0-9]+$/),
  components: z.array(z.looseObject({ type: text, name: text })).optional(),
})

/** github.com/sigstore/cosign, specs/COSIGN_VULN_ATTESTATION_SPEC.md */
const vuln = z.looseObject({
  invocation: z.looseObject({}).optional(),
  scanner: z.looseObject({ uri: z.string(), version: z.string().optional(), result: z.unknown() }),
  metadata: z.looseObject({ scanStartedOn: time.optional(), scanFinishedOn: time }),
})

/** github.com/in-toto/attestation, spec/predicates/test-result.md */
const testResult = z.looseObject({
  result: z.enum(['PASSED', 'WARNED', 'FAILED']),
  configuration: z.array(resource),
  url: uri.optional(),
  passedTests: z.array(z.string()).optional(),
  warnedTests: z.array(z.string()).optional(),
  failedTests: z.array(z.string()).optional(),
})

/** What was looked for and found. It must say what it covered and how old its data are: a result without them reads as "no findings". */
const scan = z.looseObject({
  scanner: tool,
  scannedAt: time,
  database: z.looseObject({ name: text.optional(), updatedAt: time }),
  covered: z.array(text),
  notRead: z.array(text),
  findings: z.array(z.looseObject({ id: text, severity: z.enum(['unknown', 'none', 'low', 'medium', 'high', 'critical']) })),
})

const compliance = z.looseObject({
  framework: z.looseObject({ name: text, version: text.optional() }),
  checkedBy: tool,
  checkedAt: time,
  controls: z.array(z.looseObject({ id: text, status: z.enum(['pass', 'fail', 'not-applicable', 'not-checked']) })).min(1),
})

const approval = z.looseObject({
  approver: z.looseObject({ name: text }),
  decision: z.enum(['approved', 'rejected']),
  decidedAt: time,
  reason: text.optional(),
})

interface KnownPredicate {
  readonly type: string
  readonly schema: z.ZodType
}

/** By the names of `--type`: cosign's where it has one for the same thing. */
const known: Readonly<Record<string, KnownPredicate>> = {
  slsaprovenance: { type: 'https://slsa.dev/provenance/v1', schema: slsaProvenance },
  slsaprovenance1: { type: 'https://slsa.dev/provenance/v1', schema: slsaProvenance },
  spdx: { type: 'https://spdx.dev/Document', schema: spdx },
  spdxjson: { type: 'https://spdx.dev/Document', schema: spdx },
  cyclonedx: { type: 'https://cyclonedx.org/bom', schema: cyclonedx },
  vuln: { type: 'https://cosign.sigstore.dev/attestation/vuln/v1', schema: vuln },
  scan: { type: 'https://muster.dev/attestation/scan/v1', schema: scan },
  compliance: { type: 'https://muster.dev/attestation/compliance/v1', schema: compliance },
  'test-result': { type: 'https://in-toto.io/attestation/test-result/v0.1', schema: testResult },
  approval: { type: 'https://muster.dev/attestation/approval/v1', schema: approval },
}

/** The short names of predicate types, for a help text. */
export const predicateNames: readonly string[] = Object.keys(known).filter((name) => !['slsaprovenance1', 'spdxjson'].includes(name))

/** The predicate type that `name` stands for: a short name, or a URI itself. @throws TrustError `StatementInvalid` */
export function predicateTypeFor(name: string): string {
  const type = Object.hasOwn(known, name) ? known[name]?.type : undefined
  if (type !== undefined) return type
  if (name === signPredicateType)
    throw new TrustError('StatementInvalid', `${name} is the type of a plain signature, which "muster sign" makes.`)
  if (isPlain(name) && uri.safeParse(name).success) return name
  throw new TrustError(
    'StatementInvalid',
    `${JSON.stringify(name)} is no known predicate type: give ${predicateNames.join(', ')}, or the URI of any other.`,
  )
}

/** The short name of a predicate type, or the type itself. */
export function predicateNameOf(type: string): string {
  return predicateNames.find((name) => known[name]?.type === type) ?? type
}

/**
 * Demands that a predicate is what its type says, where the type is known, and what a JSON Schema says, where one is given.
 * @throws TrustError `StatementInvalid`, naming the first places that are wrong, or that the schema uses what is not supported
 */
export function demandPredicate(type: string, predicate: unknown, jsonSchema?: unknown): void {
  const own = Object.values(known).find((one) => one.type === type)?.schema
  demand(own, type, predicate, `as its type (${predicateNameOf(type)}) demands`)
  if (jsonSchema === undefined) return
  let schema: z.ZodType
  try {
    schema = z.fromJSONSchema(jsonSchema as Parameters<typeof z.fromJSONSchema>[0])
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TrustError('StatementInvalid', `The JSON schema cannot be used: ${why}.`, cause)
  }
  demand(schema, type, predicate, 'as the schema demands')
}

function demand(schema: z.ZodType | undefined, type: string, predicate: unknown, how: string): void {
  const outcome = schema?.safeParse(predicate)
  if (outcome === undefined || outcome.success) return
  const wrong = outcome.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.length === 0 ? 'the whole' : path.join('.')}: ${message}`)
    .join('; ')
  throw new TrustError('StatementInvalid', `The predicate of type ${type} is not ${how}. ${wrong.slice(0, 500)}.`, outcome.error)
}
