import { randomBytes } from 'node:crypto'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import { applyPlan, type PlanOutcome } from '../apply-plan.ts'
import type { ClusterApi } from '../cluster.ts'
import { refOf } from '../identity.ts'
import type { InventoryEntry } from '../inventory.ts'
import { type Plan, planRelease } from '../plan.ts'

/** What tests do to a real cluster: install a release, and meddle with it as others would. */
export class TestInstaller {
  readonly client: KubeClient
  /** Part of every name, so that runs do not meet. */
  readonly id = randomBytes(4).toString('hex')

  private constructor(client: KubeClient) {
    this.client = client
  }

  static async connect(kubeconfig: string): Promise<TestInstaller> {
    return new TestInstaller(new KubeClient(await loadKubeconfig(kubeconfig), { userAgent: 'reconcile-test' }))
  }

  /** Plans and applies objects as a release; its namespace has the release's name unless told otherwise. */
  async install(
    objects: readonly KubeObject[],
    release: string,
    namespace = release,
    inventory: readonly InventoryEntry[] = [],
  ): Promise<PlanOutcome & { plan: Plan }> {
    const plan = await planRelease(this.client, objects, { release, namespace, inventory })
    return { plan, ...(await applyPlan(this.client, plan.objects, { release })) }
  }

  /** What someone else does to an object, as kubectl edit would. */
  async meddle(ref: Ref, patch: object, type: 'merge' | 'strategic' | 'json' = 'strategic'): Promise<void> {
    await this.client.patch(ref, patch, { type, fieldManager: 'kubectl-edit' })
  }

  /** The cluster with something else happening during some of the calls. */
  apiWith(calls: Partial<ClusterApi>): ClusterApi {
    const { client } = this
    return {
      find: async (ref, options) => client.find(ref, options),
      apply: async (object, options) => client.apply(object, options),
      patch: async (ref, patch, options) => client.patch(ref, patch, options),
      delete: async (ref, options) => client.delete(ref, options),
      resource: async (apiVersion, kind, options) => client.resource(apiVersion, kind, options),
      raw: async (method, path, options) => client.raw(method, path, options),
      replace: async (object, options) => client.replace(object, options),
      ...calls,
    }
  }

  async live(object: KubeObject): Promise<KubeObject> {
    return this.client.get(refOf(object))
  }
}

/** The object of a kind in a plan. */
export function planned(plan: Plan, kind: string): KubeObject {
  const found = plan.objects.find((item) => item.object.kind === kind)?.object
  if (found === undefined) throw new Error(`no ${kind} in the plan`)
  return found
}
