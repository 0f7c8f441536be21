import { onTestFinished } from 'vitest'
import { type PeerRegistry, type RunningPeerRegistry, startPeerRegistry } from '../../../../test/peers/registries.ts'
import type { Registry } from '../client/registry.ts'
import { client, temporaryDirectory } from './registry.ts'

/** A registry of others, and a client of ours for it, until the test is over. Deletes are allowed if not told otherwise. */
export async function startPeer(
  peer: PeerRegistry,
  { deletes = true } = {},
): Promise<RunningPeerRegistry & { readonly registry: Registry }> {
  const running = await startPeerRegistry(peer, { directory: await temporaryDirectory(), deletes })
  onTestFinished(() => running.stop())
  return { ...running, registry: client({ host: running.host, plainHttp: true }) }
}
