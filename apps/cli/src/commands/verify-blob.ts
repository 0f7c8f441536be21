import { open } from 'node:fs/promises'
import { type Authority, type BlobArtifact, type IdentityRule, TrustError, type VerifiedBlob, verifyBlob } from '@muster/trust'
import type { Context } from '../context.ts'
import { UsageError } from '../errors.ts'
import { readGivenFile, readGivenText } from '../given-file.ts'

export interface VerifyBlobCommandOptions {
  readonly bundle: string
  readonly key?: string
  readonly trustedRoot?: string
  readonly roots?: string
  readonly intermediates?: string
  readonly timestampAuthorities?: string
  readonly certificateIdentity?: string
  readonly certificateIdentityRegexp?: string
  readonly certificateOidcIssuer?: string
  readonly certificateOidcIssuerRegexp?: string
  readonly tlogThreshold?: number
  readonly timestampThreshold?: number
  readonly sctThreshold?: number
  readonly output: 'text' | 'json'
}

/** Larger files are none of these. */
const limits = { bundle: 16 * 1024 * 1024, trust: 4 * 1024 * 1024 } as const
const chunkBytes = 1024 * 1024

/** `muster verify blob FILE --bundle B …`: verifies a Sigstore bundle over a file. No socket is opened. */
export async function verifyBlobCommand(context: Context, file: string, options: VerifyBlobCommandOptions): Promise<void> {
  const { authority, proofs } = await authorityOf(options)
  const bundle = await readGivenFile(options.bundle, { what: 'a Sigstore bundle', limit: limits.bundle })
  const verified = await verifyBlob(bundle, artifactOf(file), authority, { now: new Date(), signal: context.signal, proofs }).catch(
    (error: unknown) => {
      throw error instanceof TrustError && ['AuthorityInvalid', 'KeyUnreadable'].includes(error.code)
        ? new UsageError(error.message, { cause: error })
        : error
    },
  )
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(reported(verified), null, 2)}\n` : `${sentence(file, verified)}\n`)
}

/** A digest where it is one, as for a file that is elsewhere; else a path. */
function artifactOf(file: string): BlobArtifact {
  if (/^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/.test(file)) return { digest: file }
  return { content: () => chunksOf(file) }
}

/** A file in one buffer that is used again: a stream's own would pile up faster than they are collected. */
async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  const handle = await open(file)
  try {
    const buffer = Buffer.alloc(chunkBytes)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, chunkBytes)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

type Proofs = { readonly trustedRoot: unknown; readonly tlogThreshold?: number; readonly timestampThreshold?: number }

async function authorityOf(options: VerifyBlobCommandOptions): Promise<{ authority: Authority; proofs?: Proofs }> {
  const { key, trustedRoot, roots, tlogThreshold, timestampThreshold, sctThreshold } = options
  const rule = ruleOf(options)
  const thresholds = {
    ...(tlogThreshold === undefined ? {} : { tlogThreshold }),
    ...(timestampThreshold === undefined ? {} : { timestampThreshold }),
  }
  if (key !== undefined) {
    if (rule || roots !== undefined) throw new UsageError('With --key no certificate is looked at: leave out --certificate-… and --roots.')
    const authority: Authority = { kind: 'key', name: key, publicKeys: [await readText(key)] }
    return trustedRoot === undefined ? { authority } : { authority, proofs: { trustedRoot: await readJson(trustedRoot), ...thresholds } }
  }
  if ((trustedRoot === undefined) === (roots === undefined))
    throw new UsageError('Say whom to trust: --key FILE, --trusted-root FILE with an identity, or --roots FILE with an identity.')
  if (!rule || (rule.subject ?? rule.subjectPattern) === undefined)
    throw new UsageError('Say who must have signed: --certificate-identity NAME or --certificate-identity-regexp PATTERN.')
  if (roots !== undefined) return { authority: await ownPki(roots, rule, options) }
  if ((rule.issuer ?? rule.issuerPattern) === undefined)
    throw new UsageError('Say who must vouch for the name: --certificate-oidc-issuer URL or --certificate-oidc-issuer-regexp PATTERN.')
  return {
    authority: {
      kind: 'sigstore',
      name: trustedRoot ?? '',
      trustedRoot: await readJson(trustedRoot ?? ''),
      identities: [rule],
      ...thresholds,
      ...(sctThreshold === undefined ? {} : { sctThreshold }),
    },
  }
}

async function ownPki(roots: string, rule: IdentityRule, options: VerifyBlobCommandOptions): Promise<Authority> {
  const { intermediates, timestampAuthorities, timestampThreshold } = options
  return {
    kind: 'x509',
    name: roots,
    roots: [await readText(roots)],
    identities: [rule],
    ...(intermediates === undefined ? {} : { intermediates: [await readText(intermediates)] }),
    ...(timestampAuthorities === undefined ? {} : { timestampAuthorities: [await readText(timestampAuthorities)] }),
    ...(timestampThreshold === undefined ? {} : { requireTimestamp: timestampThreshold > 0 }),
  }
}

function ruleOf(options: VerifyBlobCommandOptions): IdentityRule | undefined {
  const rule = {
    ...(options.certificateIdentity === undefined ? {} : { subject: options.certificateIdentity }),
    ...(options.certificateIdentityRegexp === undefined ? {} : { subjectPattern: options.certificateIdentityRegexp }),
    ...(options.certificateOidcIssuer === undefined ? {} : { issuer: options.certificateOidcIssuer }),
    ...(options.certificateOidcIssuerRegexp === undefined ? {} : { issuerPattern: options.certificateOidcIssuerRegexp }),
  }
  return Object.keys(rule).length === 0 ? undefined : rule
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(file))
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new UsageError(`${file} is not JSON: give a trusted_root.json.`, { cause })
  }
}

async function readText(file: string): Promise<string> {
  return readGivenText(file, { what: 'what it is verified by', limit: limits.trust })
}

function reported({ identity, issuer, signedAt, digest, predicateType }: VerifiedBlob): object {
  return { digest, identity, issuer, signedAt: signedAt?.toISOString(), predicateType }
}

function sentence(file: string, { identity, issuer, signedAt, digest, predicateType }: VerifiedBlob): string {
  const by = issuer === undefined ? identity : `${identity}, vouched for by ${issuer}`
  const when = signedAt ? `, by ${signedAt.toISOString()}` : ''
  const what = predicateType === undefined ? 'signed' : `described in a statement (${predicateType}) signed`
  return `${file} (${digest}) is ${what} by ${by}${when}.`
}
