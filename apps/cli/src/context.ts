import { access, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { KubeClient } from '@muster/kube'
import { Failure, UsageError } from './errors.ts'

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

/** Layout in which what the instance publishes is put together. It belongs to the instance: its signatures are by the instance's keys. */
export function workLayout(context: Context): string {
  return path.join(context.cache, 'layouts', context.instance)
}

/**
 * Path of the administrator's kubeconfig of an embedded cluster.
 * @throws UsageError for what is no cluster name; Failure where the instance has no such cluster
 */
export async function kubeconfigOf(context: Context, cluster: string): Promise<string> {
  const folder = path.join(context.state, 'clusters')
  const file = path.join(folder, named(cluster), 'admin.kubeconfig')
  try {
    await access(file)
    return file
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    const names = (await readdir(folder).catch(() => [])).sort()
    throw new Failure(
      names.length === 0
        ? `Instance "${context.instance}" is not up: it has no clusters in ${context.state}. Run "muster up" first.`
        : `Instance "${context.instance}" has no cluster "${cluster}". It has: ${names.join(', ')}.`,
      { cause },
    )
  }
}

function named(cluster: string): string {
  if (!/^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$/.test(cluster)) {
    throw new UsageError(`"${cluster}" is no cluster name: use at most 30 lower-case letters, digits and hyphens, a letter first.`)
  }
  return cluster
}

/** @throws Failure where there is no such cluster, or its kubeconfig is damaged */
export async function clientOf(context: Context, cluster: string): Promise<KubeClient> {
  const file = await kubeconfigOf(context, cluster)
  // Loaded where it is used: many commands speak to no cluster.
  const { isKubeError, KubeClient, loadKubeconfig } = await import('@muster/kube')
  try {
    return new KubeClient(await loadKubeconfig(file), { userAgent: 'muster' })
  } catch (cause) {
    if (!isKubeError(cause, 'Config')) throw cause
    throw new Failure(`${file} is damaged. Run "muster up", which writes it anew.`, { cause })
  }
}

/** Lets `use` speak to a cluster that is to be up. @throws Failure where it does not answer */
export async function withCluster<T>(context: Context, cluster: string, use: (client: KubeClient) => Promise<T>): Promise<T> {
  const client = await clientOf(context, cluster)
  const { isKubeError } = await import('@muster/kube')
  try {
    return await use(client)
  } catch (cause) {
    context.signal.throwIfAborted()
    if (!isKubeError(cause, 'Unreachable')) throw cause
    throw new Failure(
      `The API server of cluster "${cluster}" does not answer. "muster logs" shows what runs on this host; "muster up" starts what does not.`,
      { cause },
    )
  } finally {
    client.close()
  }
}
