import { apiVersion, type Cluster, type Placement } from '@muster/api'
import { parseRegistrySettings, parseRetentionPolicy, type RetentionPolicy, settingsFile } from '@muster/host'
import type { KubeClient, KubeObject } from '@muster/kube'
import type { Need, Retained } from '@muster/oci'
import { type Context, withCluster } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { registryAccess, writableRegistry } from '../registry.ts'
import { administering, printed } from '../registry-administration.ts'
import { table } from '../table.ts'
import { readSettings } from './registry-configure.ts'

export interface RetainOptions {
  readonly policy?: string
  readonly dryRun: boolean
  readonly output: 'table' | 'json'
}

/** Where Muster's own images are. */
const ownRepositories = 'mirror/muster.dev/'

/**
 * `muster registry retain`: what channels need the registry finds out by itself; what is placed, and what clusters report that they run,
 * only the hub knows. So the hub must answer: without it nothing is removed.
 */
export async function retain(context: Context, options: RetainOptions): Promise<void> {
  const policy = await policyOf(context, options.policy)
  // A cluster may run an image of Muster's own whose tag has moved on since: what has no tag there stays, too.
  const rules = [{ repositories: `${ownRepositories}**`, keep: { tags: ['**'] } }, ...policy.rules]
  const needed = [...(await withCluster(context, 'hub', (hub) => neededBy(hub, context.signal))), ...(await ownImages(context))]
  const found = await administering(context, (administration) =>
    administration.retain({ rules, needed, dryRun: options.dryRun }, { signal: context.signal }),
  )
  printed(context, options.output, found, () => report(found))
}

async function policyOf(context: Context, file: string | undefined): Promise<RetentionPolicy> {
  if (file !== undefined) {
    const text = await readSettings(file)
    if (text === undefined) throw new UsageError(`${file} is not there. Give --policy the path of a file with rules.`)
    return parseRetentionPolicy(text, file)
  }
  const place = settingsFile(context.state)
  const { retention } = parseRegistrySettings((await readSettings(place)) ?? '', place)
  if (retention === undefined)
    throw new Failure(
      'The registry’s settings have no rules of retention. Give some with --policy FILE, or put them in with "muster registry configure".',
    )
  return retention
}

/** What is placed, wherever it may not have arrived yet, and what clusters run still. */
export async function neededBy(hub: KubeClient, signal: AbortSignal): Promise<Need[]> {
  const placements = await hub.list<Placement & KubeObject>({ apiVersion, kind: 'Placement' }, { signal })
  const clusters = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
  return [
    ...placements.items.map(({ metadata, spec }) => ({ digest: spec.bundle.digest, why: `placement ${metadata.name} is of it` })),
    ...clusters.items.flatMap(({ metadata, status }) =>
      (status?.report?.releases ?? []).map(({ name, digest }) => ({ digest, why: `cluster ${metadata.name} runs it as ${name}` })),
    ),
  ]
}

/** Hub, agents and what embedded clusters start with: no placement names them, and clusters may run any of their versions. */
async function ownImages(context: Context): Promise<Need[]> {
  const { signal } = context
  const registry = writableRegistry(await registryAccess(context))
  try {
    const needs: Need[] = []
    for (const name of (await registry.repositories({ signal })).filter((one) => one.startsWith(ownRepositories))) {
      const repository = registry.repository(name)
      for (const tag of await repository.tags({ signal })) {
        const found = await repository.resolve(tag, { signal })
        if (found !== undefined) needs.push({ digest: found.digest, why: 'Muster itself runs it' })
      }
    }
    return needs
  } finally {
    registry.close()
  }
}

function report({ done, remove, keep, skipped, missing }: Retained): string {
  const tags = remove.flatMap(({ repository, tags: gone }) => gone.map(({ tag, digest }) => [`${repository}:${tag}`, shortDigest(digest)]))
  const manifests = remove.reduce((sum, one) => sum + one.manifests.length, 0)
  return [
    table([done ? 'REMOVED' : 'WOULD GO', 'DIGEST'], tags),
    '',
    table(
      ['STAYS', 'DIGEST', 'BECAUSE'],
      keep.map(({ repository, tag, digest, why }) => [`${repository}:${tag}`, shortDigest(digest), why]),
    ),
    '',
    ...skipped.map(({ repository, why }) => `Left alone: ${repository}: ${why}.`),
    ...missing.map(({ digest, why }) => `Missing: ${digest} is not in this registry, and ${why}.`),
    done
      ? `Removed ${tags.length} tags and ${manifests} manifests. "muster registry gc" makes room.`
      : `${tags.length} tags and ${manifests} manifests would go. Nothing was removed.`,
  ].join('\n')
}

function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12)
}
