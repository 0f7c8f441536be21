import { setTimeout as pause } from 'node:timers/promises'
import { type KubeClient, KubeError, type KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { type HubOptions, hubObjects } from './hub.ts'
import { installer, systemNamespace } from './names.ts'

const pollMs = 250

export interface WaitOptions {
  readonly signal: AbortSignal
  /** How long to wait for it to be ready, in milliseconds. */
  readonly deadlineMs: number
}

/** Installs the hub, or brings it to what is given, and waits until it answers. */
export async function installHub(client: KubeClient, options: HubOptions, wait: WaitOptions): Promise<void> {
  await applyAll(client, hubObjects(options), wait)
  await deploymentReady(client, 'muster-hub', wait)
}

/** Applies objects in order. A kind that a definition just before brought may need a moment until it is served. */
export async function applyAll(client: KubeClient, objects: readonly KubeObject[], { signal, deadlineMs }: WaitOptions): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])
  for (const object of objects) {
    for (;;) {
      try {
        await client.apply(object, { fieldManager: installer, force: true, signal: deadline })
        break
      } catch (error) {
        const passing = error instanceof KubeError && (error.transient || error.code === 'UnknownKind' || error.code === 'NotFound')
        if (!passing || deadline.aborted) throw error
        await pause(pollMs, undefined, { signal: deadline })
      }
    }
  }
}

interface DeploymentStatus extends KubeObject {
  readonly spec?: { readonly replicas?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly updatedReplicas?: number
    readonly availableReplicas?: number
    readonly replicas?: number
    readonly conditions?: readonly { readonly type: string; readonly message?: string; readonly status: string }[]
  }
}

/** Waits until a Deployment of Muster's own runs as it is now. @throws FleetError `NotReady` */
export async function deploymentReady(client: KubeClient, name: string, wait: WaitOptions): Promise<void> {
  let last = 'it does not exist'
  await until(
    wait,
    `${systemNamespace}/${name}`,
    () => last,
    async (signal) => {
      const found = await client.find<DeploymentStatus>(
        { apiVersion: 'apps/v1', kind: 'Deployment', namespace: systemNamespace, name },
        { signal },
      )
      if (!found) return false
      const { status, spec, metadata } = found
      const wanted = spec?.replicas ?? 1
      last =
        status?.conditions?.find((one) => one.status !== 'True')?.message ?? `${status?.availableReplicas ?? 0} of ${wanted} pods are ready`
      return (
        status?.observedGeneration === metadata.generation &&
        status?.updatedReplicas === wanted &&
        status?.availableReplicas === wanted &&
        status?.replicas === wanted
      )
    },
  )
}

/**
 * Asks again and again until `done`. An error that may pass is waited out like a "not yet".
 * @throws FleetError `NotReady` at the deadline, with what was last seen
 */
export async function until(
  { signal, deadlineMs }: WaitOptions,
  what: string,
  why: () => string,
  done: (signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const timeout = AbortSignal.timeout(deadlineMs)
  const either = AbortSignal.any([signal, timeout])
  let failure: unknown
  while (!either.aborted) {
    try {
      if (await done(either)) return
      failure = undefined
    } catch (error) {
      if (!(error instanceof KubeError && error.transient) && !either.aborted) throw error
      failure = error
    }
    await pause(pollMs, undefined, { signal: either }).catch(() => undefined)
  }
  signal.throwIfAborted()
  const reason = failure instanceof Error && !timeout.aborted ? failure.message : why()
  throw new FleetError('NotReady', `${what} was not ready within ${Math.round(deadlineMs / 1000)} s: ${reason}.`, {
    transient: true,
    cause: failure,
  })
}
