import path from 'node:path'
import { isKubeError, type KubeObject, type Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { startApiServer, type TestApiServer } from '../../../../test/environment/api-server.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'

const mebibyte = 1024 ** 2

let server: TestApiServer
let cluster: FaultyCluster
let shop: string

beforeAll(async () => {
  // Of its own, as nobody else could write anything any more.
  const bin = path.join(path.resolve(path.dirname(inject('kubeconfig')), '../..'), 'bin')
  server = await startApiServer(bin, { quotaBytes: 24 * mebibyte })
  const user = { certificate: { pem: server.admin.certificate }, key: { pem: server.admin.privateKey } }
  cluster = await openFaultyCluster({ server: server.url, ca: { pem: server.ca }, user })
  shop = `shop-${cluster.id}`
  cluster.agent.start()
})

afterAll(async () => {
  try {
    await cluster?.close([])
  } finally {
    await server?.dispose()
  }
})

const config = (name = 'settings'): Ref => ({ apiVersion: 'v1', kind: 'ConfigMap', name, namespace: shop })
const version = async (): Promise<unknown> => ((await cluster.client.find(config()))?.['data'] as { version?: string } | undefined)?.version

async function bring(next: string): Promise<void> {
  const object = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { version: next } })
  const objects = [object('settings'), object(`only-${next.replaceAll('.', '-')}`)]
  await cluster.fleet.channel([await cluster.fleet.publish(shop, next, objects.map((one) => JSON.stringify(one)).join('\n---\n'))])
}

/** Writes until etcd takes no more; gives what was written. */
async function fill(): Promise<Ref[]> {
  const written: Ref[] = []
  for (let at = 0; at < 100; at += 1) {
    const object: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `filler-${at}`, namespace: 'default' },
      data: { value: 'x'.repeat(900_000) },
    }
    try {
      await cluster.client.create(object)
      written.push({ apiVersion: 'v1', kind: 'ConfigMap', name: `filler-${at}`, namespace: 'default' })
    } catch (error) {
      if (isKubeError(error) && error.message.includes('space exceeded')) return written
      throw error
    }
  }
  throw new Error('etcd is larger than it should be')
}

describe('pain 6, etcd full', () => {
  it('costs nothing that runs: what cannot be written is said, nothing is deleted, and all is made up for when there is room', async () => {
    await bring('1.0.0')
    await cluster.reported(shop, (release) => release?.version === '1.0.0' && release.ready)
    const fillers = await fill()
    await bring('1.1.0')
    await cluster.reported(shop, (release, { channelUnreadable }) => release?.version === '1.0.0' && channelUnreadable !== undefined)
    const { channelUnreadable } = cluster.fleet.reports.at(-1) ?? {}
    expect(channelUnreadable?.message).toMatch(/space exceeded/)
    expect(await version()).toBe('1.0.0')
    // A deletion is taken where nothing else is: what is deleted now cannot come back before there is room.
    await cluster.client.delete(config())

    for (const filler of fillers) await cluster.client.delete(filler)
    await server.makeRoom()
    await cluster.reported(
      shop,
      (release, report) => release?.version === '1.1.0' && release.ready && report.channelUnreadable === undefined,
    )
    expect(await version()).toBe('1.1.0')
    await cluster.eventually(
      'what an earlier version had is pruned',
      async () => (await cluster.client.find(config('only-1-0-0'))) === undefined,
    )
    expect(cluster.agent.starts).toBe(1)
  })
})
