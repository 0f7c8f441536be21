import { predicateNameOf, readTree, type TreeNode, type TreeStatement } from '@muster/trust'
import { descriptorOf, openArtifact } from '../artifact.ts'
import type { Context } from '../context.ts'

export interface TreeOptions {
  readonly output: 'text' | 'json'
  readonly plainHttp: boolean
  readonly ca?: string
}

/** `muster tree REF`: what an artifact holds, and what hangs on each part. Nothing is verified. */
export async function tree(context: Context, reference: string, options: TreeOptions): Promise<void> {
  const artifact = await openArtifact(context, reference, options)
  try {
    const node = await readTree(artifact.store, descriptorOf(artifact), { signal: context.signal })
    context.stdout.write(
      options.output === 'json'
        ? `${JSON.stringify({ name: artifact.name, ...node }, null, 2)}\n`
        : `${artifact.name}\n${drawn(node).join('\n')}\n`,
    )
  } finally {
    artifact.close()
  }
}

/** A line for the node, and those below it. */
function drawn(node: TreeNode): string[] {
  const below = [...node.referrers, ...node.members]
  const notes = node.problems.map(({ code, message }) => [`${code}: ${message}`])
  const branches = [...notes, ...below.map(drawn)]
  return [
    titled(node),
    ...branches.flatMap((lines, at) => {
      const last = at === branches.length - 1
      return lines.map((line, row) => `${row === 0 ? (last ? '└── ' : '├── ') : last ? '    ' : '│   '}${line}`)
    }),
  ]
}

const whyStopped = { repeated: 'listed above', missing: 'listed, but not there', bounds: 'not followed: the tree is too large' } as const

function titled(node: TreeNode): string {
  const stopped = node.stopped === undefined ? '' : ` (${whyStopped[node.stopped]})`
  return `${plain(whatItIs(node))} ${node.digest}${stopped}`
}

function whatItIs(node: TreeNode): string {
  const { annotations = {}, statements } = node
  if (statements.length > 0) return statements.map(statementText).join(', ')
  const title = annotations['dev.muster.image.name'] ?? annotations['org.opencontainers.image.title']
  const version = annotations['org.opencontainers.image.version']
  const what = node.artifactType ?? node.mediaType
  return [what, title, version, node.platform].filter((part) => part !== undefined).join(' ')
}

function statementText({ predicateType, keyHint, certified, format }: TreeStatement): string {
  const what = predicateType === undefined ? 'signature' : `attestation ${predicateNameOf(predicateType)}`
  const by = keyHint === undefined ? (certified ? ' with a certificate' : '') : ` by ${shortId(keyHint)}`
  return `${what}${by}${format === 'sigstore-bundle' ? '' : ' in the older format'}`
}

/** The first digits of the key's id, as "muster sign" prints it. */
function shortId(hint: string): string {
  return Buffer.from(hint, 'base64').toString('hex').slice(0, 12)
}

/** What others wrote, without what would change how a terminal shows it. */
function plain(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}
