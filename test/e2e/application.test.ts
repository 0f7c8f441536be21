import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

/** The application of three services under examples/depot, from its sources to what it answers, in two clusters. */
const instance = sharedInstance()
const depot = path.join(checkout, 'examples/depot')
const namespace = 'depot'
const sites = ['alpha', 'bravo'] as const

beforeAll(async () => {
  for (const name of ['db', 'api', 'web']) await instance.succeed('publish', path.join(depot, name))
  for (const site of sites) {
    const client = await instance.client(site)
    await client.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }, { fieldManager: 'depot-test' })
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'depot-database', namespace },
      stringData: { password: `of ${site}` },
    }
    await client.apply(secret as KubeObject, { fieldManager: 'depot-test' })
  }
}, 10 * 60_000)

afterAll(async () => {
  for (const name of ['depot-web', 'depot-api', 'depot-db']) await instance.muster('place', name, '--nowhere')
  for (const site of sites) {
    const client = await instance.client(site)
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace }).catch((error: unknown) => {
      if (!isKubeError(error, 'NotFound')) throw error
    })
  }
})

/** What a service of the depot answers in a cluster, through the API server. */
async function ask(client: KubeClient, service: string, way: string, body?: unknown): Promise<unknown> {
  const url = `/api/v1/namespaces/${namespace}/services/http:${service}:80/proxy${way}`
  return body === undefined ? client.raw('GET', url) : client.raw('POST', url, { body })
}

async function release(client: KubeClient, name: string): Promise<Release & KubeObject> {
  return client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name })
}

async function deployment(client: KubeClient, name: string): Promise<KubeObject> {
  return client.get({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name })
}

describe('the depot', () => {
  it('is placed in both clusters from one file, and each service comes when the one that it needs is ready', async () => {
    await instance.succeed('place', '-f', path.join(depot, 'placements.yaml'))
    for (const site of sites) {
      const client = await instance.client(site)
      const readySince = async (name: string) => {
        const condition = (await release(client, name)).status?.conditions?.find(({ type }) => type === 'Ready')
        expect(condition).toMatchObject({ status: 'True' })
        return condition?.lastTransitionTime ?? ''
      }
      const madeAt = async (name: string) => (await deployment(client, name)).metadata.creationTimestamp ?? ''
      expect((await readySince('depot-db')) <= (await madeAt('depot-api'))).toBe(true)
      expect((await readySince('depot-api')) <= (await madeAt('depot-web'))).toBe(true)
    }
  })

  it('keeps what comes in, in a database of each cluster', async () => {
    const [alpha, bravo] = [await instance.client('alpha'), await instance.client('bravo')]
    await ask(alpha, 'depot-api', '/items', { sku: 'TENT-2', name: 'Tent' })
    await ask(alpha, 'depot-api', '/movements', { sku: 'TENT-2', quantity: 12, reason: 'delivery' })
    expect(await ask(alpha, 'depot-api', '/items')).toEqual({ items: [{ sku: 'TENT-2', name: 'Tent', quantity: 12 }] })
    expect(await ask(alpha, 'depot-web', '/')).toContain('<td>Tent</td>')
    expect(await ask(bravo, 'depot-api', '/items')).toEqual({ items: [] })
  })
})
