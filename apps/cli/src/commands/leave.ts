import { FleetError, leaveCluster, leaveOffline } from '@muster/fleet'
import type { KubeClient } from '@muster/kube'
import { type Context, clientOf } from '../context.ts'
import { daemonOf } from '../daemon.ts'
import { Failure, UsageError } from '../errors.ts'
import { registryTokenRevoker } from '../registry-token.ts'
import { demandClusterName, isOutside, memberOf, type OutsideOptions } from './join.ts'

const patienceMs = 5 * 60_000

export interface LeaveCommandOptions extends OutsideOptions {
  readonly prune: boolean
  readonly delete: boolean
  readonly gone: boolean
  /** No hub is asked. */
  readonly offline: boolean
}

/** `muster leave NAME`: takes a cluster out of the fleet. */
export async function leave(context: Context, name: string, options: LeaveCommandOptions): Promise<void> {
  demandClusterName(name)
  if (options.gone && (options.prune || options.delete || isOutside(options)))
    throw new UsageError('--gone is for a cluster that is not there any more: nothing else can be done with it.')
  if (options.delete && isOutside(options)) throw new UsageError('--delete is for clusters that were made here; this one was not.')
  if (options.offline) return leaveAtSite(context, name, options)
  const hub = await clientOf(context, 'hub')
  let member: KubeClient | undefined
  try {
    if (!options.gone) member = await reach(context, name, options)
    const revokeRegistryToken = await registryTokenRevoker(context, name)
    await leaveCluster(
      { cluster: name, hub, member, prune: options.prune, revokeRegistryToken },
      { signal: context.signal, deadlineMs: patienceMs },
    )
  } catch (error) {
    // One that has left before can still be deleted.
    if (!(options.delete && error instanceof FleetError && error.code === 'UnknownCluster')) throw error
  } finally {
    hub.close()
    member?.close()
  }
  if (options.delete) await daemonOf(context, (host) => host.deleteCluster(name, { signal: context.signal }))
  const rest = options.delete
    ? 'its cluster is deleted'
    : options.gone
      ? 'what may still run there is left alone'
      : options.prune
        ? 'what was placed on it is gone'
        : 'what was placed on it goes on running, and nobody keeps it as it was signed'
  context.stdout.write(`${name} has left the fleet: ${rest}.\n`)
}

/** Takes the agent out without asking the hub, which may be out of reach or lost. */
async function leaveAtSite(context: Context, name: string, options: LeaveCommandOptions): Promise<void> {
  if (options.prune || options.delete || options.gone)
    throw new UsageError('--offline only takes the agent out, and leaves what runs: leave out --prune, --delete and --gone.')
  const member = await memberOf(context, name, options)
  try {
    await leaveOffline(name, member, { signal: context.signal, deadlineMs: patienceMs })
  } finally {
    member.close()
  }
  context.stdout.write(
    `The agent is gone from ${name}: what was placed on it goes on running, and nobody keeps it as it was signed. A hub takes ${name} for silent until it is told: muster leave ${name} --gone.\n`,
  )
}

async function reach(context: Context, name: string, options: LeaveCommandOptions): Promise<KubeClient> {
  try {
    return await memberOf(context, name, options)
  } catch (cause) {
    if (isOutside(options) || !(cause instanceof Failure)) throw cause
    const what = `If ${name} joined by a kubeconfig, add --context; if it is not there any more, --gone.`
    throw new Failure(`${cause.message} ${what}`, { cause })
  }
}
