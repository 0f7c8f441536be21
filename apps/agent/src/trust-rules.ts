import { apiVersion, type EnclavePolicy } from '@muster/api'
import { Informer, isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { type ChannelContent, type EffectivePolicy, mergePolicies, type PolicySource, readPolicy } from '@muster/trust'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'

/** What of the site's own policies the rules look at: none is known until they were read whole. */
export type SitePolicies = () => readonly Pick<EnclavePolicy, 'apiVersion' | 'kind' | 'metadata' | 'spec'>[] | undefined

/** By what bundles are verified here: the channel's publishers and policies, and the policies of the site itself. */
export class TrustRules {
  readonly #site: SitePolicies
  #key: string | undefined
  #merged: { readonly key: string; readonly policy: Promise<EffectivePolicy> } | undefined

  constructor(site: SitePolicies) {
    this.#site = site
  }

  /** All of it as one string, that tells whether something verified before was verified by the same; nothing while it is not known. */
  key({ publishers, policies = [] }: ChannelContent): string | undefined {
    const site = this.#site()
    if (site === undefined) return undefined
    const key = JSON.stringify([publishers, policies, site.map(({ metadata: { name }, spec }) => [name, spec])])
    // Each release keeps it: one text for all of them.
    if (this.#key !== key) this.#key = key
    return this.#key
  }

  /**
   * The policies that hold, merged; nothing where there are none. Merged once as long as they stay.
   * @throws TrustError `PolicyInvalid`: then nothing can be verified, and so nothing is taken
   */
  async policy(content: ChannelContent): Promise<EffectivePolicy | undefined> {
    const site = (this.#site() ?? []).flatMap((object): PolicySource[] => {
      // The API server hands out more metadata than a policy has.
      const { kind, metadata, spec } = object
      const source = readPolicy({ apiVersion, kind, metadata: { name: metadata.name }, spec }, 'This cluster')
      return source === undefined ? [] : [source]
    })
    const sources = [...(content.policies ?? []), ...site]
    if (sources.length === 0) return undefined
    const key = JSON.stringify(sources)
    if (this.#merged?.key !== key) this.#merged = { key, policy: mergePolicies(sources) }
    return this.#merged.policy
  }
}

/** Watches the `EnclavePolicy` objects of this cluster. */
export class SitePolicyWatch {
  readonly name = 'site policies'
  readonly #informer: Informer
  /** The kind is not served here: a cluster that joined before it was made has no such policies. */
  #unknown = false

  constructor(client: KubeClient, logger: Logger) {
    this.#informer = new Informer(client, {
      apiVersion,
      kind: 'EnclavePolicy',
      onError: (error) => {
        // A server that is away says nothing of what it serves.
        if (!isKubeError(error, 'Unreachable')) this.#unknown = isKubeError(error, 'UnknownKind')
        if (!this.#unknown) logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the watch of EnclavePolicy failed and goes on')
      },
    })
  }

  /** In order of names. */
  readonly policies: SitePolicies = () => {
    if (!this.#informer.synced) return this.#unknown ? [] : undefined
    return this.#informer.list().toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)) as (EnclavePolicy & KubeObject)[]
  }

  onChange(listener: () => void): void {
    this.#informer.onChange(listener)
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#informer.run(signal)
  }
}
