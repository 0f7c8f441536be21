import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Descriptor, pushArtifact, pushReferrer, Registry, serveRegistry } from '@muster/oci'
import { type ChannelContent, createRoot, generateKeyPair, pushChannel, signChannel } from '@muster/trust'
import { expect, it, onTestFinished } from 'vitest'
import { channelNeeds, channelRepositories } from './channel-needs.ts'

const [rootKey, channelKey] = [generateKeyPair(), generateKeyPair()]
const root = createRoot({
  rootKeys: [rootKey],
  rootThreshold: 1,
  channelKeys: [channelKey],
  channelThreshold: 1,
  expires: '2040-01-01T00:00:00Z',
  version: 1,
})

function channelOf(cluster: string, generation: number, bundles: readonly Descriptor[]): Uint8Array {
  const content: ChannelContent = {
    cluster,
    generation,
    issuedAt: '2030-01-01T00:00:00.000Z',
    expiresAt: '2039-01-01T00:00:00Z',
    releases: bundles.map(({ digest, size }, at) => ({
      name: `r${at}`,
      bundle: { repository: 'bundles/app', version: '1.0', digest, size },
    })),
    publishers: [],
    prune: { maxShare: 0.5 },
  }
  return signChannel(content, [channelKey.privateKey])
}

it('retention never takes what a channel names, and takes it once no channel does', { timeout: 30_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-host-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  let now = Date.now()
  const server = await serveRegistry({
    root: directory,
    listen: { host: '127.0.0.1', port: 0 },
    users: [{ name: 'admin', password: 'keep', access: 'admin' }],
    channels: { repositories: channelRepositories, needs: channelNeeds },
    retentionGraceMs: 1000,
    now: () => now,
    graceMs: 100,
  })
  onTestFinished(() => server.close())
  const registry = new Registry({ host: `127.0.0.1:${server.port}`, plainHttp: true, credentials: { username: 'admin', password: 'keep' } })
  onTestFinished(() => registry.close())
  const bundles = registry.repository('bundles/app')
  const versions: Descriptor[] = []
  for (const version of ['1.0', '2.0', '3.0']) {
    const bundle = await pushArtifact(
      bundles,
      { artifactType: 'application/vnd.example', layers: [{ mediaType: 'text/plain', bytes: Buffer.from(version) }] },
      { tag: version },
    )
    await pushReferrer(bundles, bundle, { artifactType: 'application/vnd.example.signature', layers: [] })
    versions.push(bundle)
  }
  const [first, second, third] = versions
  if (first === undefined || second === undefined || third === undefined) throw new Error('three bundles were pushed')
  const channels = registry.repository('channels/alpha')
  await pushChannel(channels, root, channelOf('alpha', 1, [first]))
  const rules = [{ repositories: '**', keep: { tags: ['none'] } }]
  const retain = () => {
    now += 3_600_000
    return registry.administration.retain({ rules, needed: [{ digest: second.digest, why: 'placement app is of it' }], dryRun: false })
  }
  expect((await retain()).keep.map(({ repository, tag, why }) => `${repository}:${tag} ${why}`).sort()).toEqual([
    'bundles/app:1.0 channels/alpha has it as release r0 1.0',
    'bundles/app:2.0 placement app is of it',
    'channels/alpha:current it is the channel channels/alpha:current',
  ])
  expect((await bundles.tags()).sort()).toEqual(['1.0', '2.0'])
  expect(await bundles.referrers(first.digest)).toHaveLength(1)
  expect(await bundles.resolve(third.digest)).toBeUndefined()
  await pushChannel(channels, root, channelOf('alpha', 2, [second]))
  await retain()
  expect(await bundles.tags()).toEqual(['2.0'])
})
