import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type TrustPolicy, trustPolicyReasons } from '@muster/api'
import { isKubeError, type KubeClient } from '@muster/kube'
import type { PolicyCheck } from '../channel/policies.ts'
import { withReady } from './ready-condition.ts'

export interface TrustPolicyControllerOptions {
  readonly client: Pick<KubeClient, 'apply'>
  readonly policy: (name: string) => TrustPolicy | undefined
  readonly policies: () => readonly TrustPolicy[]
  readonly check: PolicyCheck
  readonly now: () => Date
}

/** Says of each policy whether it can be used as it is written. */
export class TrustPolicyController {
  readonly #options: TrustPolicyControllerOptions

  constructor(options: TrustPolicyControllerOptions) {
    this.#options = options
  }

  async reconcile(name: string, signal: AbortSignal): Promise<void> {
    const { client, policies, check, now } = this.#options
    const policy = this.#options.policy(name)
    if (!policy || policy.metadata.deletionTimestamp !== undefined) return
    const objection = await check.objection(policy, policies())
    const condition =
      objection === undefined
        ? ({
            status: 'True',
            reason: trustPolicyReasons.ready,
            message: 'It is in the channels of the clusters that it holds for.',
          } as const)
        : ({
            status: 'False',
            reason: trustPolicyReasons.invalid,
            message: `${objection} Channels stay as they are until it is mended.`,
          } as const)
    const observedGeneration = policy.metadata.generation
    const conditions = withReady(policy.status?.conditions, condition, observedGeneration, now())
    const status = { conditions, ...(observedGeneration === undefined ? {} : { observedGeneration }) }
    if (isDeepStrictEqual(status, { ...policy.status })) return
    const object = { apiVersion, kind: 'TrustPolicy', metadata: { name }, status }
    try {
      await client.apply(object, { subresource: 'status', fieldManager: 'muster-hub', force: true, signal })
    } catch (error) {
      // Deleted meanwhile: nothing has a status any more.
      if (!isKubeError(error, 'NotFound')) throw error
    }
  }
}
