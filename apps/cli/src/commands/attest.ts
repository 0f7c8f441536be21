import {
  attach,
  attachCosignAttestation,
  demandPredicate,
  keyId,
  maxStatementBytes,
  parseBounded,
  predicateNameOf,
  predicateTypeFor,
  signStatement,
  TrustError,
} from '@muster/trust'
import { descriptorOf, openArtifact } from '../artifact.ts'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { readGivenFile } from '../given-file.ts'
import { openSigners, type SigningOptions } from '../signing.ts'
import { type AttachedFormat, repositoryOf } from './sign.ts'

export interface AttestOptions extends SigningOptions {
  readonly type: string
  readonly predicate: string
  readonly schema?: string
  readonly format: AttachedFormat
  readonly plainHttp: boolean
  readonly ca?: string
}

const maxSchemaBytes = 1024 * 1024

/** `muster attest REF --type T --predicate FILE`: a signed statement about an artifact, attached to it. */
export async function attest(context: Context, reference: string, options: AttestOptions): Promise<void> {
  const { format } = options
  const { signal } = context
  const predicateType = predicateTypeFor(options.type)
  const predicate = await readJson(options.predicate, maxStatementBytes, '--predicate')
  demandPredicate(
    predicateType,
    predicate,
    options.schema === undefined ? undefined : await readJson(options.schema, maxSchemaBytes, '--schema'),
  )
  const signers = await openSigners(context, options)
  const artifact = await openArtifact(context, reference, options)
  try {
    const { store, name } = artifact
    const subject = descriptorOf(artifact)
    for (const key of signers.keys) {
      const bundle = await signStatement({ subject, predicateType, predicate, key, timestamp: signers.timestamp, signal })
      const referrer =
        format === 'cosign-tag'
          ? await attachCosignAttestation(store, subject, bundle, { key, signal })
          : await attach(store, subject, await signers.logged(bundle, key), { signal, createdAt: new Date() })
      context.stdout.write(
        `Attested ${predicateNameOf(predicateType)} of ${repositoryOf(name)}@${subject.digest} by ${keyId(key.publicKey).slice(0, 12)}: ${referrer.digest}\n`,
      )
    }
  } finally {
    artifact.close()
  }
}

async function readJson(file: string, limit: number, option: string): Promise<unknown> {
  try {
    return parseBounded(await readGivenFile(file, { what: option, limit }), { limit, what: `What ${option} names` })
  } catch (cause) {
    if (cause instanceof TrustError) throw new Failure(`${cause.message} Give a JSON file, or - for standard input.`, { cause })
    throw cause
  }
}
