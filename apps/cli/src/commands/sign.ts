import type { ContentSource, ContentTarget, Descriptor } from '@muster/oci'
import { type Manifest, parseManifest } from '@muster/oci'
import { attach, attachCosignSignature, keyId, signStatement } from '@muster/trust'
import { descriptorOf, openArtifact } from '../artifact.ts'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { openSigners, type Signers, type SigningOptions } from '../signing.ts'

export interface SignCommandOptions extends SigningOptions {
  readonly annotation: Readonly<Record<string, string>>
  readonly recursive: boolean
  readonly format: AttachedFormat
  readonly plainHttp: boolean
  readonly ca?: string
}

/** As a referrer with a Sigstore bundle, or as cosign before version 3 did it. */
export type AttachedFormat = 'bundle' | 'cosign-tag'

/** More artifacts are not signed in one call. */
const maxSubjects = 10_000

/** `muster sign REF…`: a signature by each key on each artifact. */
export async function sign(context: Context, references: readonly string[], options: SignCommandOptions): Promise<void> {
  const signers = await openSigners(context, options)
  for (const reference of references) {
    const artifact = await openArtifact(context, reference, options)
    try {
      const root = descriptorOf(artifact)
      const subjects = options.recursive ? await withMembers(artifact.store, root, context.signal) : [root]
      for (const subject of subjects) await signOne(context, { store: artifact.store, subject, name: artifact.name }, signers, options)
    } finally {
      artifact.close()
    }
  }
}

interface Target {
  readonly store: ContentSource & ContentTarget
  readonly subject: Descriptor
  readonly name: string
}

async function signOne(context: Context, { store, subject, name }: Target, signers: Signers, options: SignCommandOptions): Promise<void> {
  const { signal } = context
  const { annotation, format } = options
  const annotations = Object.keys(annotation).length === 0 ? undefined : annotation
  for (const key of signers.keys) {
    const making = { key, annotations, timestamp: signers.timestamp, signal }
    const referrer =
      format === 'cosign-tag'
        ? await attachCosignSignature(store, subject, { ...making, reference: repositoryOf(name) })
        : await attach(store, subject, await signers.logged(await signStatement({ subject, ...making }), key), {
            signal,
            createdAt: new Date(),
          })
    context.stdout.write(`Signed ${repositoryOf(name)}@${subject.digest} by ${keyId(key.publicKey).slice(0, 12)}: ${referrer.digest}\n`)
  }
}

/** A name without its tag or digest. */
export function repositoryOf(name: string): string {
  return name.replace(/@sha256:[0-9a-f]{64}$/, '').replace(/:[^:/]+$/, '')
}

/** An index, then all that it holds, each once: a bundle's content, its images, and the images of each platform. */
async function withMembers(store: ContentSource, root: Descriptor, signal: AbortSignal): Promise<Descriptor[]> {
  const found = new Map([[root.digest, root]])
  const open = [root]
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const manifest: Manifest = parseManifest((await store.manifest(next.digest, { signal })).bytes)
    for (const member of manifest.manifests) {
      if (found.has(member.digest)) continue
      if (found.size >= maxSubjects) throw new Failure(`${root.digest} holds more than ${maxSubjects} artifacts, and was not signed.`)
      found.set(member.digest, member)
      open.push(member)
    }
  }
  return [...found.values()]
}
