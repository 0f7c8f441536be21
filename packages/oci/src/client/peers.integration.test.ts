import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { debianPeer, goPeer, goPeers, peerMs } from '../../../../test/peers/peers.ts'
import { pushReferrer } from '../artifact.ts'
import { copy } from '../copy.ts'
import { digestOf } from '../digest.ts'
import { Layout } from '../layout/layout.ts'
import { parseManifest } from '../manifest.ts'
import { referrersTag } from '../referrers.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage, pushIndex } from '../testing/content.ts'
import { client, temporaryDirectory } from '../testing/registry.ts'
import type { Registry } from './registry.ts'

interface Peer {
  readonly name: string
  program(): Promise<string>
  arguments(port: number, directory: string): Promise<string[]>
}

async function distribution(port: number, directory: string, deletes = true): Promise<string[]> {
  const config = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(directory, 'registry') }, delete: { enabled: deletes } },
    http: { addr: `127.0.0.1:${port}` },
  }
  const file = join(directory, 'config.yml')
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config))
  return ['serve', file]
}

const peers: Peer[] = [
  {
    name: 'distribution 2.8',
    program: () => debianPeer('docker-registry', 'usr/bin/docker-registry'),
    arguments: (port, directory) => distribution(port, directory),
  },
  { name: 'distribution 3', program: () => goPeer(goPeers.distribution3), arguments: (port, directory) => distribution(port, directory) },
  {
    name: 'the registry of go-containerregistry, which has no referrers',
    program: () => goPeer(goPeers.crane),
    arguments: async (port, directory) => ['registry', 'serve', '--address', `127.0.0.1:${port}`, '--disk', directory],
  },
]

/** The peer on a free port, ended after the test. */
async function start(peer: Peer): Promise<Registry> {
  const port = await freePort()
  const program = await peer.program()
  const args = await peer.arguments(port, await temporaryDirectory())
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { OTEL_TRACES_EXPORTER: 'none' } })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4000)
  })
  onTestFinished(() => end(child))
  const registry = client({ host: `127.0.0.1:${port}`, plainHttp: true })
  const deadline = performance.now() + 60_000
  for (;;) {
    const answered = await registry.ping().then(
      () => true,
      () => false,
    )
    if (answered) return registry
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${peer.name} does not answer: ${log}`)
    await pause(20)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** These programs do not tell which port they took. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

describe.each(peers)('with $name, the client', (peer) => {
  beforeAll(async () => {
    await peer.program()
  }, peerMs)

  it('pushes, pulls and lists, and knows what is not there', async () => {
    const registry = await start(peer)
    const repository = registry.repository('team/app')
    const bytes = noise(9_000_000)
    const blob = describeBlob(bytes)
    await repository.putBlob(blob, () => chunks(bytes))
    expect(await repository.hasBlob(blob)).toBe(true)
    expect((await collect(repository.blob(blob))).equals(bytes)).toBe(true)
    const image = await pushImage(repository, 1, { tag: '1.0' })
    await pushImage(repository, 2, { tag: '2.0' })
    expect(await repository.resolve('1.0')).toEqual(image)
    expect((await repository.manifest('1.0')).descriptor).toEqual(image)
    expect((await repository.manifest(image.digest)).descriptor).toEqual(image)
    expect((await repository.tags()).sort()).toEqual(['1.0', '2.0'])
    expect(await repository.resolve('3.0')).toBeUndefined()
    expect(await repository.hasBlob(describeBlob(noise(3)))).toBe(false)
    expect(await failure(collect(repository.blob(describeBlob(noise(3)))))).toBe('NotFound')
    expect(await failure(repository.manifest(digestOf(noise(3))))).toBe('NotFound')
  })

  it('copies an index with all its referrers there, within it, and back, and nothing differs', async () => {
    const registry = await start(peer)
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const images = [await pushImage(source, 1), await pushImage(source, 2)]
    const index = await pushIndex(source, images, '1.0')
    const artifactType = 'application/vnd.example.signature'
    const signature = await pushReferrer(source, index, { artifactType, layers: [{ mediaType: 'text/plain', bytes: noise(100) }] })
    const nested = await pushReferrer(source, signature, { artifactType: 'application/vnd.example.note', layers: [] })
    const ofImage = await pushReferrer(source, images[0] ?? index, { artifactType: 'application/vnd.example.sbom', layers: [] })

    const [app, other] = [registry.repository('team/app'), registry.repository('team/other')]
    await copy(source, app, index, { tag: '1.0', referrers: true })
    await copy(app, other, index, { tag: '1.0', referrers: true })
    const back = await Layout.open(join(await temporaryDirectory(), 'back'), { create: true })
    await copy(other, back, index, { tag: '1.0', referrers: true })
    for (const place of [app, other, back]) {
      expect(await place.resolve('1.0')).toMatchObject({ digest: index.digest })
      expect((await place.referrers(index.digest)).map(({ digest }) => digest)).toEqual([signature.digest])
      expect(await place.referrers(index.digest, { artifactType })).toMatchObject([{ digest: signature.digest, artifactType }])
      expect(await place.referrers(index.digest, { artifactType: 'application/vnd.example.other' })).toEqual([])
      expect((await place.referrers(signature.digest)).map(({ digest }) => digest)).toEqual([nested.digest])
      expect((await place.referrers(images[0]?.digest ?? '')).map(({ digest }) => digest)).toEqual([ofImage.digest])
      for (const image of images) {
        for (const blob of parseManifest((await place.manifest(image.digest)).bytes).blobs) await collect(place.blob(blob))
      }
    }
    // None of the three lists referrers: they are at the tag of the specification, for other clients too.
    expect(await app.tags()).toContain(referrersTag(index.digest))
  })

  it('adds referrers of one subject one after another, and all are there', async () => {
    const registry = await start(peer)
    const repository = registry.repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    const added = []
    for (let at = 0; at < 4; at += 1) {
      added.push((await pushReferrer(repository, image, { artifactType: `application/vnd.example.${at}`, layers: [] })).digest)
    }
    expect((await repository.referrers(image.digest)).map(({ digest }) => digest).sort()).toEqual(added.sort())
  })

  it('mounts a blob from another repository, or says that it did not', async () => {
    const registry = await start(peer)
    const [from, to] = [registry.repository('team/from'), registry.repository('team/to')]
    const bytes = noise(5000)
    const blob = describeBlob(bytes)
    await from.putBlob(blob, () => chunks(bytes))
    if (!(await to.mount(blob, 'team/from'))) await to.putBlob(blob, () => chunks(bytes))
    expect((await collect(to.blob(blob))).equals(bytes)).toBe(true)
  })

  it('deletes an image', async () => {
    const registry = await start(peer)
    const repository = registry.repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    expect(await repository.deleteManifest(image.digest)).toBe(true)
    expect(await repository.resolve(image.digest)).toBeUndefined()
  })
})

it('the client says so when a registry does not allow to delete', async () => {
  const program = (): Promise<string> => goPeer(goPeers.distribution3)
  const registry = await start({ name: 'distribution 3', program, arguments: (port, directory) => distribution(port, directory, false) })
  const image = await pushImage(registry.repository('app'), 1, { tag: '1.0' })
  expect(await failure(registry.repository('app').deleteManifest(image.digest))).toBe('Unsupported')
  expect(await registry.repository('app').resolve('1.0')).toEqual(image)
})
