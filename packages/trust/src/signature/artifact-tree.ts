import { type ContentSource, type Descriptor, type Manifest, OciError, parseManifest } from '@muster/oci'
import type { TrustError } from '../errors.ts'
import type { SignedEnvelope } from './envelope.ts'
import { asProblem, cosignTag, readEnvelopes } from './read-envelopes.ts'
import { signPredicateType } from './statement.ts'

/** A larger tree is not walked to its end: whoever may write to a repository must not be able to stall its readers. */
const bounds = { nodes: 10_000, depth: 16 } as const

/** What a node is to the one above it. */
export type TreeKind = 'artifact' | 'member' | 'signature' | 'attestation' | 'referrer'

/** A signature or attestation in a node: cosign's older formats keep several in one. */
export interface TreeStatement {
  readonly format: SignedEnvelope['format']
  /** None for a plain signature. */
  readonly predicateType?: string
  /** Base64 SHA-256 of the signer's public key, where it is said. Not verified. */
  readonly keyHint?: string
  /** Made with a certificate. */
  readonly certified: boolean
}

export interface TreeNode {
  readonly kind: TreeKind
  readonly digest: string
  readonly mediaType: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: string
  /** Tag of cosign's older formats. */
  readonly tag?: string
  readonly statements: readonly TreeStatement[]
  /** Why it was not followed: it is above already, is not there, or the tree is too large. */
  readonly stopped?: 'repeated' | 'missing' | 'bounds'
  /** What of its signatures could not be read. */
  readonly problems: readonly { readonly code: TrustError['code']; readonly message: string }[]
  /** What it consists of, where it is an index. */
  readonly members: readonly TreeNode[]
  /** What refers to it. */
  readonly referrers: readonly TreeNode[]
}

interface Walk {
  readonly source: ContentSource
  readonly signal: AbortSignal | undefined
  readonly seen: Set<string>
}

/**
 * What hangs on an artifact: its members, and the signatures, attestations and other referrers of each, recursively. Nothing is
 * verified. Each thing is followed once, so that a list that leads back to itself ends.
 * @throws OciError where the artifact itself cannot be read, or the registry does not answer
 */
export async function readTree(
  source: ContentSource,
  artifact: Descriptor,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<TreeNode> {
  const walk: Walk = { source, signal, seen: new Set() }
  // What is asked for must be there; of what hangs on it, it is said.
  await source.manifest(artifact.digest, { signal })
  return visit(walk, artifact, { kind: 'artifact', depth: 0, statements: [] })
}

interface Place {
  readonly kind: TreeKind
  readonly depth: number
  readonly statements: readonly TreeStatement[]
  readonly tag?: string
}

async function visit(walk: Walk, descriptor: Descriptor, { kind, depth, statements, tag }: Place): Promise<TreeNode> {
  const { source, signal, seen } = walk
  const node = {
    kind,
    digest: descriptor.digest,
    mediaType: descriptor.mediaType,
    size: descriptor.size,
    ...(descriptor.artifactType === undefined ? {} : { artifactType: descriptor.artifactType }),
    ...(descriptor.annotations === undefined ? {} : { annotations: descriptor.annotations }),
    ...(descriptor.platform === undefined ? {} : { platform: platformOf(descriptor.platform) }),
    ...(tag === undefined ? {} : { tag }),
    statements,
    problems: [],
    members: [],
    referrers: [],
  }
  if (seen.has(descriptor.digest)) return { ...node, stopped: 'repeated' }
  if (seen.size >= bounds.nodes || depth >= bounds.depth) return { ...node, stopped: 'bounds' }
  seen.add(descriptor.digest)
  const manifest = await readManifest(walk, descriptor)
  if (manifest === undefined) return { ...node, stopped: 'missing' }
  const artifactType = descriptor.artifactType ?? manifest.artifactType
  const annotations = { ...manifest.annotations, ...descriptor.annotations }
  const members: TreeNode[] = []
  for (const member of manifest.manifests) members.push(await visit(walk, member, { kind: 'member', depth: depth + 1, statements: [] }))
  const { envelopes, problems } = await readEnvelopes(source, descriptor, { signal })
  const referrers: TreeNode[] = []
  for (const referrer of await source.referrers(descriptor.digest, { signal })) {
    const its = envelopes.filter((envelope) => envelope.referrer === referrer.digest).map(statementOf)
    referrers.push(await visit(walk, referrer, { kind: kindOf(its), depth: depth + 1, statements: its }))
  }
  for (const suffix of ['.sig', '.att'] as const) {
    const name = cosignTag(descriptor.digest, suffix)
    const tagged = await source.resolve(name, { signal })
    if (tagged === undefined) continue
    const its = envelopes.filter((envelope) => envelope.referrer === tagged.digest).map(statementOf)
    referrers.push(
      await visit(walk, tagged, { kind: suffix === '.sig' ? 'signature' : 'attestation', depth: depth + 1, statements: its, tag: name }),
    )
  }
  return {
    ...node,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    problems: problems.map(({ code, message }) => ({ code, message })),
    members,
    referrers,
  }
}

/** Nothing where it is listed and not there, or is none: an index of signatures by tag may name anything. */
async function readManifest({ source, signal }: Walk, { digest }: Descriptor): Promise<Manifest | undefined> {
  try {
    return parseManifest((await source.manifest(digest, { signal })).bytes)
  } catch (error) {
    signal?.throwIfAborted()
    // An outage is no answer; everything else is one about this node.
    if (!(error instanceof OciError) || asProblem(error, digest).code === 'RegistryUnreachable') throw error
    return undefined
  }
}

function statementOf({ format, claims, material }: SignedEnvelope): TreeStatement {
  const { predicateType } = claims
  return {
    format,
    ...(predicateType === undefined || predicateType === signPredicateType ? {} : { predicateType }),
    ...(material.publicKeyHint === undefined ? {} : { keyHint: material.publicKeyHint }),
    certified: material.certificates !== undefined,
  }
}

function kindOf(statements: readonly TreeStatement[]): TreeKind {
  if (statements.length === 0) return 'referrer'
  return statements.every(({ predicateType }) => predicateType === undefined) ? 'signature' : 'attestation'
}

function platformOf({ os, architecture, variant }: NonNullable<Descriptor['platform']>): string {
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/')
}
