import { join } from 'node:path'
import { Archive, Registry } from '@muster/oci'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { peerMs } from '../../../test/peers/peers.ts'
import { type PeerRegistry, peerRegistries, startPeerRegistry } from '../../../test/peers/registries.ts'
import { takeInventory } from './inventory.ts'
import { formatCounts } from './kinds.ts'
import { relocate, relocateToArchive } from './relocate.ts'
import { bundle, startRegistry, temporaryDirectory } from './testing.ts'

const options = { jobs: 4 }
const all = '2 images, 6 signatures, 3 attestations, 1 SBOM'

async function start(peer: PeerRegistry): Promise<Registry> {
  const running = await startPeerRegistry(peer, { directory: await temporaryDirectory() })
  const registry = new Registry({ host: running.host, plainHttp: true })
  onTestFinished(async () => {
    registry.close()
    await running.stop()
  })
  return registry
}

describe.each(peerRegistries)('pain 11, with $name: signatures lost or failing on copy', (peer) => {
  beforeAll(async () => {
    await peer.program()
  }, peerMs)

  it('a bundle goes there, on to a file, and back into a registry of ours, and everything that hangs on it is still there', async () => {
    const theirs = (await start(peer)).repository('bundles/shop')
    const ours = (await startRegistry()).registry
    const { root } = await bundle(ours.repository('from'))
    const there = await relocate(
      { name: 'ours', store: ours.repository('from'), descriptor: root },
      { name: peer.name, store: theirs, tag: '1' },
      options,
    )
    expect(formatCounts(there.after)).toBe(all)
    const file = join(await temporaryDirectory(), 'shop.tar.zst')
    const packed = await relocateToArchive([{ name: peer.name, store: theirs, descriptor: root, tag: '1' }], { file }, options)
    expect(formatCounts(packed.artifacts[0]?.after ?? there.after)).toBe(all)
    const archive = await Archive.open(file)
    const back = await relocate(
      { name: file, store: archive, descriptor: root },
      { name: 'back', store: ours.repository('back'), tag: '1' },
      options,
    )
    await archive.close()
    expect(back.after).toEqual(there.before)
    expect(formatCounts((await takeInventory(ours.repository('back'), root, options)).counts)).toBe(all)
    const again = await relocate(
      { name: 'ours', store: ours.repository('back'), descriptor: root },
      { name: peer.name, store: theirs, tag: '1' },
      options,
    )
    expect(again.moved).toMatchObject({ manifests: 0, blobs: 0, bytes: 0 })
  })
})
