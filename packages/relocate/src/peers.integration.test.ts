import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Archive, Registry } from '@muster/oci'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { debianPeer, goPeer, goPeers, peerMs } from '../../../test/peers/peers.ts'
import { takeInventory } from './inventory.ts'
import { formatCounts } from './kinds.ts'
import { relocate, relocateToArchive } from './relocate.ts'
import { bundle, startRegistry, temporaryDirectory } from './testing.ts'

const options = { jobs: 4 }
const all = '2 images, 6 signatures, 3 attestations, 1 SBOM'

interface Peer {
  readonly name: string
  program(): Promise<string>
  arguments(port: number, directory: string): Promise<string[]>
}

async function distribution(port: number, directory: string): Promise<string[]> {
  const file = join(directory, 'config.yml')
  const storage = { filesystem: { rootdirectory: join(directory, 'registry') } }
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ version: 0.1, log: { level: 'error' }, storage, http: { addr: `127.0.0.1:${port}` } }))
  return ['serve', file]
}

const peers: Peer[] = [
  { name: 'distribution 2.8', program: () => debianPeer('docker-registry', 'usr/bin/docker-registry'), arguments: distribution },
  { name: 'distribution 3', program: () => goPeer(goPeers.distribution3), arguments: distribution },
  {
    name: 'the registry of go-containerregistry, which has no referrers',
    program: () => goPeer(goPeers.crane),
    arguments: async (port, directory) => ['registry', 'serve', '--address', `127.0.0.1:${port}`, '--disk', directory],
  },
]

/** These programs do not tell which port they took. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

async function start(peer: Peer): Promise<Registry> {
  const port = await freePort()
  const args = await peer.arguments(port, await temporaryDirectory())
  const child = spawn(await peer.program(), args, { stdio: 'ignore', env: { OTEL_TRACES_EXPORTER: 'none' } })
  const gone = once(child, 'exit')
  const registry = new Registry({ host: `127.0.0.1:${port}`, plainHttp: true })
  onTestFinished(async () => {
    registry.close()
    child.kill('SIGKILL')
    await gone
  })
  const deadline = performance.now() + 60_000
  for (;;) {
    const answered = await registry.ping().then(
      () => true,
      () => false,
    )
    if (answered) return registry
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${peer.name} does not answer.`)
    await pause(20)
  }
}

describe.each(peers)('pain 11, with $name: signatures lost or failing on copy', (peer) => {
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
