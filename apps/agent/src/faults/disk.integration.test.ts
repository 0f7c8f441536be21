import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mountSmallDisk } from '../../../../test/environment/small-disk.ts'
import { eventually, startCluster, type TestCluster } from '../testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const said: string[] = []
const note = (fields: object, message: string): void => void said.push(`${message} ${JSON.stringify(fields)}`)
const logger = { debug: () => {}, info: note, warn: note, error: note }

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let unmount: () => Promise<void>
let filler: string

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id, { logger }))
  await mkdir(fleet.store, { recursive: true })
  unmount = await mountSmallDisk(fleet.store, 1024 ** 2)
  filler = join(fleet.store, 'of-somebody-else')
  // All of it, to the last block.
  await writeFile(filler, new Uint8Array(2 * 1024 ** 2)).catch(() => undefined)
  agent.start()
})

afterAll(async () => {
  try {
    await agent.end()
  } finally {
    await unmount()
    await end(shop)
  }
})

const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'settings', namespace: shop }
const version = async (): Promise<unknown> => ((await client.find(config))?.['data'] as { version?: string } | undefined)?.version

/** Brings a version of which the content takes about so many bytes, and waits until it runs. */
async function bring(next: string, bytes: number): Promise<void> {
  const filling = (at: number) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `large-${at}` },
    // Nothing packs it smaller than half of this.
    data: { value: randomBytes(Math.min(bytes, 500_000)).toString('hex') },
  })
  const objects = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { version: next } },
    ...Array.from({ length: Math.ceil(bytes / 500_000) }, (_, at) => filling(at)),
  ]
  await fleet.channel([await fleet.publish(shop, next, objects.map((object) => JSON.stringify(object)).join('\n---\n'))])
  await fleet.reported(({ releases: [release] }) => release?.version === next && release.ready)
  expect(await version()).toBe(next)
}

async function driftIsCorrected(to: string): Promise<void> {
  await client.patch(config, { data: { version: 'by hand' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
  await eventually(async () => (await version()) === to)
}

async function kept(): Promise<string[]> {
  const names = await Promise.all(
    ['manifests', 'blobs', 'referrers'].map(async (folder) => readdir(join(fleet.store, 'content', folder)).catch(() => [])),
  )
  return names.flat()
}

async function restart(): Promise<number> {
  await agent.end()
  const before = fleet.reports.length
  agent.start()
  await fleet.reported(() => fleet.reports.length > before)
  return fleet.reports.length
}

describe('an agent whose disk is full', () => {
  it('says so, brings what is wanted, corrects drift, and leaves nothing half written', async () => {
    await bring('1.0.0', 1_000)
    await driftIsCorrected('1.0.0')
    await bring('1.1.0', 1_000)
    expect(said.filter((line) => line.startsWith('the disk takes no content; make room there'))).toEqual([
      expect.stringContaining('"code":"ENOSPC"'),
    ])
    expect(await kept()).toEqual([])
  })

  it('keeps what runs over a restart without the registry, says what it waits for, and is right again when that is back', async () => {
    await fleet.stopRegistry()
    await restart()
    const report = await fleet.reported(({ releases: [release] }) => release?.reason === 'RegistryUnreachable')
    expect(report.releases[0]?.version).toBe('1.1.0')
    expect(await version()).toBe('1.1.0')
    await client.patch(config, { data: { version: 'by hand' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
    await fleet.startRegistry()
    await eventually(async () => (await version()) === '1.1.0')
    await fleet.reported(({ releases: [release] }) => release?.ready === true)
  })

  it('keeps content again when there is room, and makes room for what is newer by what it used for longest', async () => {
    await rm(filler)
    await bring('1.2.0', 400_000)
    expect(said.some((line) => line.startsWith('the disk takes content again'))).toBe(true)
    await bring('1.3.0', 400_000)
    await bring('1.4.0', 400_000)
    expect((await kept()).filter((name) => name.startsWith('.partial'))).toEqual([])
    await fleet.stopRegistry()
    await restart()
    await driftIsCorrected('1.4.0')
    await fleet.startRegistry()
  })

  it('brings what is larger than the whole disk', async () => {
    await bring('2.0.0', 1_500_000)
    await driftIsCorrected('2.0.0')
    expect((await kept()).filter((name) => name.startsWith('.partial'))).toEqual([])
  })
})
