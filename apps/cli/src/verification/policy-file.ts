import { type EffectivePolicy, mergePolicies, type PolicySource, readPolicy, TrustError } from '@muster/trust'
import { parseAllDocuments } from 'yaml'
import { UsageError } from '../errors.ts'
import { readGivenText } from '../given-file.ts'

export interface PolicyOptions {
  /** Files with `TrustPolicy` and `EnclavePolicy` objects, in YAML or JSON. */
  readonly policy?: readonly string[]
  /** File of a public key (SPKI, PEM): everything must be signed with it. */
  readonly key?: string
}

export interface LoadedPolicy {
  readonly policy: EffectivePolicy
  /** Names of the policies, for the report. */
  readonly names: readonly string[]
}

/** Reads and merges what a verification goes by. @throws UsageError for what is no policy, and where a file cannot be read */
export async function loadPolicy({ policy: files = [], key }: PolicyOptions): Promise<LoadedPolicy> {
  if (files.length === 0 && key === undefined) throw new UsageError('Say what to verify by: --policy FILE, or --key FILE.')
  const sources: PolicySource[] = []
  for (const file of files) sources.push(...readPolicies(await readGivenText(file, { what: 'a policy' }), file))
  if (key !== undefined) sources.push(keyPolicy(key, await readGivenText(key, { what: 'a public key' })))
  if (sources.length === 0) throw new UsageError(`${files.join(', ')} holds no rules of trust.`)
  try {
    return { policy: await mergePolicies(sources), names: sources.map(({ name }) => name) }
  } catch (error) {
    throw asUsage(error)
  }
}

function readPolicies(text: string, file: string): PolicySource[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true, maxAliasCount: 0 } as Parameters<typeof parseAllDocuments>[1])
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document) => {
    const [error] = document.errors
    if (error !== undefined) throw new UsageError(`${file} is no YAML: ${error.message.split('\n', 1)[0]}`)
    try {
      const object: unknown = document.toJS({ maxAliasCount: 0 })
      return object === null ? [] : (readPolicy(object, file) ?? [])
    } catch (cause) {
      throw asUsage(cause, `${file} cannot be read as a policy.`)
    }
  })
}

/** The rule that `--key` stands for: bundles and images are signed with this key, each. */
function keyPolicy(file: string, publicKey: string): PolicySource {
  return {
    name: '--key',
    level: 'organization',
    rules: {
      authorities: [{ name: 'key', key: { publicKeys: [publicKey] } }],
      rules: [
        {
          name: file.replaceAll(/[^a-zA-Z0-9.-]+/g, '-').slice(-60),
          match: { bundles: ['**'], images: ['**'] },
          signatures: [{ authorities: ['key'] }],
        },
      ],
    },
  }
}

/** A policy that cannot be used is the caller's mistake, never a refusal of what was to be verified. */
function asUsage(error: unknown, otherwise?: string): unknown {
  if (error instanceof TrustError) return new UsageError(error.message, { cause: error })
  return otherwise === undefined ? error : new UsageError(otherwise, { cause: error })
}
