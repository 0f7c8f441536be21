import path from 'node:path'
import { nameSchema } from '@muster/api'
import { agentInstall, clusterIsReady, joinCluster } from '@muster/fleet'
import { KubeClient, loadKubeconfig } from '@muster/kube'
import { type Context, clientOf } from '../context.ts'
import { daemonOf } from '../daemon.ts'
import { Failure, UsageError } from '../errors.ts'
import { registryTokenIssuer } from '../registry-token.ts'
import { runSteps } from '../steps.ts'
import { readFleet, statusTable } from './status.ts'

const patienceMs = 5 * 60_000

/** Which cluster is meant, when it is not one of the instance's own. */
export interface OutsideOptions {
  readonly context?: string
  readonly kubeconfig?: string
}

export interface JoinCommandOptions extends OutsideOptions {
  readonly label: Readonly<Record<string, string>>
  readonly nodes?: number
  readonly image?: string
}

/** `muster join NAME`: makes a cluster, or takes one that exists, and makes it a member; waits until what is placed on it runs. */
export async function join(context: Context, name: string, options: JoinCommandOptions): Promise<void> {
  const outside = isOutside(options)
  demandClusterName(name)
  if (outside && options.nodes !== undefined) throw new UsageError('--nodes is for a cluster that is made here; this one exists.')
  const hub = await clientOf(context, 'hub')
  let member: KubeClient | undefined
  try {
    const install = await agentInstall(hub, context.signal)
    const wait = { signal: context.signal, deadlineMs: patienceMs }
    await runSteps(context, [
      {
        title: outside ? `Reach the cluster of ${name}` : `Start the cluster ${name}`,
        run: async (say) => {
          if (!outside) {
            const cluster = { name, ...(options.nodes === undefined ? {} : { nodes: options.nodes }) }
            await daemonOf(context, (host) => host.createCluster(cluster, { signal: context.signal, onProgress: say }))
          }
          member = await memberOf(context, name, options)
          const { gitVersion } = await member.version({ signal: context.signal })
          return outside ? `The cluster of ${name} answers: Kubernetes ${gitVersion}` : `The cluster ${name} is up`
        },
      },
      {
        title: `Join ${name} to the fleet`,
        run: async () => {
          if (member === undefined) throw new Failure(`The cluster ${name} was not reached.`)
          const { joined } = await joinCluster(
            {
              ...install,
              ...(options.image === undefined ? {} : { image: options.image }),
              ...(Object.keys(options.label).length > 0 ? { labels: options.label } : {}),
              hub,
              member,
              cluster: name,
              issueRegistryToken: await registryTokenIssuer(context, name),
              now: new Date(),
            },
            wait,
          )
          return joined ? `${name} has joined the fleet` : `${name} is a member of the fleet`
        },
      },
      {
        title: `Bring ${name} what is placed on it`,
        run: async () => {
          await clusterIsReady(hub, name, wait)
          return `${name} is ready`
        },
      },
    ])
    context.stdout.write(`\n${statusTable(await readFleet(context))}\n`)
  } finally {
    member?.close()
    hub.close()
  }
}

/** Joins clusters that exist, by the contexts of a kubeconfig: name → context. */
export async function joinAll(context: Context, contexts: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, kubecontext] of Object.entries(contexts)) await join(context, name, { label: {}, context: kubecontext })
}

export function isOutside({ context, kubeconfig }: OutsideOptions): boolean {
  return context !== undefined || kubeconfig !== undefined
}

/** @throws UsageError */
export function demandClusterName(name: string): void {
  if (!nameSchema.safeParse(name).success)
    throw new UsageError(`"${name}" is no name for a cluster: use at most 63 lower-case letters, digits and hyphens.`)
  if (name === 'hub') throw new UsageError('The hub is a member from the start: it neither joins nor leaves.')
}

/** An administrator's client of a cluster: by a kubeconfig of the user's, or of the instance's own. */
export async function memberOf(context: Context, name: string, options: OutsideOptions): Promise<KubeClient> {
  if (!isOutside(options)) return clientOf(context, name)
  const { KUBECONFIG, HOME } = context.environment
  const file = options.kubeconfig ?? KUBECONFIG?.split(path.delimiter)[0] ?? path.join(HOME ?? '/root', '.kube', 'config')
  const chosen = options.context === undefined ? {} : { context: options.context }
  return new KubeClient(await loadKubeconfig(path.resolve(file), chosen), { userAgent: 'muster' })
}
