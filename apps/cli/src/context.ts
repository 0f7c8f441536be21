import { access } from 'node:fs/promises'
import path from 'node:path'
import { KubeClient, loadKubeconfig } from '@muster/kube'
import { UsageError } from './errors.ts'

/** What the process gives to a command. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}

/** Options that every command takes. */
export interface GlobalOptions {
  readonly instance?: string
}

/** A command's view of the instance that it speaks to. */
export interface Context extends Surroundings {
  readonly instance: string
  /** Folder with everything that the instance keeps. */
  readonly state: string
  /** Folder for what can be made again: builds, layers, downloads. */
  readonly cache: string
  /** Folder of this checkout. */
  readonly checkout: string
}

export function contextOf(surroundings: Surroundings, options: GlobalOptions): Context {
  const { environment } = surroundings
  const instance = options.instance ?? environment['MUSTER_INSTANCE'] ?? 'default'
  if (!/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(instance)) {
    throw new UsageError(`"${instance}" is no instance id: use at most 20 lower-case letters, digits and hyphens.`)
  }
  const home = environment['HOME'] ?? '/root'
  return {
    ...surroundings,
    instance,
    state: path.resolve(environment['MUSTER_STATE'] ?? path.join('/var/lib/muster', instance)),
    cache: path.resolve(environment['MUSTER_CACHE'] ?? path.join(environment['XDG_CACHE_HOME'] ?? path.join(home, '.cache'), 'muster')),
    checkout: path.resolve(import.meta.dirname, '../../..'),
  }
}

/** Path of the administrator's kubeconfig of an embedded cluster. */
export async function kubeconfigOf(context: Context, cluster: string): Promise<string> {
  const file = path.join(context.state, 'clusters', cluster, 'admin.kubeconfig')
  try {
    await access(file)
    return file
  } catch {
    throw new Error(
      `Instance "${context.instance}" has no cluster "${cluster}". "muster status" shows those that it has; "muster up" starts them.`,
    )
  }
}

export async function clientOf(context: Context, cluster: string): Promise<KubeClient> {
  return new KubeClient(await loadKubeconfig(await kubeconfigOf(context, cluster)), { userAgent: 'muster' })
}
