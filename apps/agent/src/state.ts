import { gunzipSync, gzipSync } from 'node:zlib'
import type { KubeObject } from '@muster/kube'
import { AgentError } from './error.ts'

/** What the agent remembers of its channel, in the cluster itself. */
export interface ChannelState {
  /** Generation of the newest channel that was accepted; 0 before the first. */
  readonly generation: number
  /** Digest of that channel's manifest. */
  readonly digest?: string
  /** The newest trusted root, `root.json`. */
  readonly root: string
  /** The accepted channel itself, so that the agent knows its releases without the registry. */
  readonly channel?: Uint8Array
}

/** What state.ts asks of a Kubernetes client; `KubeClient` satisfies it. */
export interface ConfigMapStore {
  find(
    ref: { apiVersion: string; kind: string; name: string; namespace: string },
    options: { signal: AbortSignal },
  ): Promise<KubeObject | undefined>
  apply(object: KubeObject, options: { fieldManager: string; force: boolean; signal: AbortSignal }): Promise<KubeObject>
}

const stateName = 'muster-agent-state'
/** A ConfigMap holds at most 1 MiB; room is left for the root and the metadata. */
const maxStoredBytes = 900 * 1024
const maxChannelBytes = 8 * 1024 * 1024

/** Loads and stores the agent's state in ConfigMap `muster-agent-state`. */
export class StateStore {
  readonly #api: ConfigMapStore
  readonly #namespace: string

  constructor(api: ConfigMapStore, namespace: string) {
    this.#api = api
    this.#namespace = namespace
  }

  /**
   * Undefined before the first channel.
   * @throws AgentError `StateUnreadable`
   */
  async load(signal: AbortSignal): Promise<ChannelState | undefined> {
    const found = await this.#api.find({ apiVersion: 'v1', kind: 'ConfigMap', name: stateName, namespace: this.#namespace }, { signal })
    return found === undefined ? undefined : parseState(found)
  }

  /** Stores before anything is done with it: a restart must not be rolled back. */
  async save(state: ChannelState, signal: AbortSignal): Promise<void> {
    await this.#api.apply(formatState(state, this.#namespace), { fieldManager: 'muster-agent', force: true, signal })
  }
}

/** @throws AgentError `StateTooLarge` */
export function formatState(state: ChannelState, namespace: string): KubeObject {
  const packed = state.channel === undefined ? undefined : gzipSync(state.channel).toString('base64')
  if (packed !== undefined && packed.length > maxStoredBytes) {
    throw new AgentError(
      'StateTooLarge',
      `The channel of generation ${state.generation} does not fit into a ConfigMap; split the cluster's releases.`,
    )
  }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: stateName, namespace },
    data: {
      generation: String(state.generation),
      ...(state.digest === undefined ? {} : { 'channel-digest': state.digest }),
      'root.json': state.root,
    },
    ...(packed === undefined ? {} : { binaryData: { 'channel.json.gz': packed } }),
  }
}

/** @throws AgentError `StateUnreadable` */
export function parseState(object: KubeObject): ChannelState {
  const data = (object['data'] ?? {}) as Record<string, unknown>
  const binary = (object['binaryData'] ?? {}) as Record<string, unknown>
  const { generation, 'channel-digest': digest, 'root.json': root } = data
  const packed = binary['channel.json.gz']
  if (typeof generation !== 'string' || !/^\d{1,15}$/.test(generation) || typeof root !== 'string') throw unreadable()
  try {
    return {
      generation: Number(generation),
      ...(typeof digest === 'string' ? { digest } : {}),
      root,
      ...(typeof packed === 'string'
        ? { channel: new Uint8Array(gunzipSync(Buffer.from(packed, 'base64'), { maxOutputLength: maxChannelBytes })) }
        : {}),
    }
  } catch (cause) {
    throw unreadable(cause)
  }
}

function unreadable(cause?: unknown): AgentError {
  return new AgentError(
    'StateUnreadable',
    `ConfigMap ${stateName} is not as the agent wrote it. Delete it to start again from the trust root of the bootstrap Secret.`,
    cause,
  )
}
