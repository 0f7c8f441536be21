import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout, eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

/** The application of three services under examples/depot, from its sources to what it answers, in two clusters. */
const instance = sharedInstance()
const depot = path.join(checkout, 'examples/depot')
const namespace = 'depot'
const sites = [
  ['alpha', 'Depot Alpha', 2],
  ['bravo', 'Depot Bravo', 1],
] as const
const deadline = { withinMs: 180_000, everyMs: 250 }
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-depot-'))
  for (const name of ['db', 'api', 'web', 'api-1.1.0', 'api-1.1.1']) await instance.succeed('publish', path.join(depot, name))
}, 10 * 60_000)

afterAll(async () => {
  for (const name of ['depot-web', 'depot-api', 'depot-db']) await instance.muster('place', name, '--nowhere')
  for (const [site] of sites) {
    const client = await instance.client(site)
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace }).catch((error: unknown) => {
      if (!isKubeError(error, 'NotFound')) throw error
    })
  }
  await rm(folder, { recursive: true, force: true })
})

/** The example's placements, with a password sealed to each cluster. */
async function placements(): Promise<string> {
  const sealed: Record<string, { password: string }> = {}
  for (const [site] of sites) {
    const password = path.join(folder, `password-of-${site}`)
    await writeFile(password, `the password of ${site}`)
    const text = await instance.succeed('seal', 'password', '--cluster', site, '--release', 'depot-db', '--from-file', password, '--print')
    sealed[site] = { password: text.trim() }
  }
  const written = await readFile(path.join(depot, 'placements.yaml'), 'utf8')
  const file = path.join(folder, 'placements.yaml')
  await writeFile(file, written.replace('  name: depot-db\nspec:\n', `$&  sealed: ${JSON.stringify(sealed)}\n`))
  return file
}

/** What a service of the depot answers in a cluster, through the API server. */
async function ask(client: KubeClient, service: string, way: string, body?: unknown): Promise<unknown> {
  const url = `/api/v1/namespaces/${namespace}/services/http:${service}:80/proxy${way}`
  return body === undefined ? client.raw('GET', url) : client.raw('POST', url, { body })
}

async function release(client: KubeClient, name: string): Promise<Release & KubeObject> {
  return client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name })
}

async function deployment(client: KubeClient, name: string): Promise<Deployment> {
  return client.get<Deployment>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name })
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas: number; readonly template: { readonly spec: { readonly containers: readonly { image: string }[] } } }
}

const imageOf = ({ spec }: Deployment) => spec.template.spec.containers[0]?.image

describe('the depot', () => {
  it('is placed in both clusters from one file, and each service comes when the one that it needs is ready', async () => {
    await instance.succeed('place', '-f', await placements())
    for (const [site] of sites) {
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

  it.each(sites)('in %s calls itself %s, and has as many pages as its overlay says', async (site, title, replicas) => {
    const client = await instance.client(site)
    expect(await ask(client, 'depot-web', '/')).toContain(`<h1>${title}</h1>`)
    expect((await deployment(client, 'depot-web')).spec.replicas).toBe(replicas)
    expect((await deployment(client, 'depot-web')).metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'depot' })
  })

  it('keeps what comes in, in a database of each cluster', async () => {
    const [alpha, bravo] = [await instance.client('alpha'), await instance.client('bravo')]
    await ask(alpha, 'depot-api', '/items', { sku: 'TENT-2', name: 'Tent' })
    await ask(alpha, 'depot-api', '/movements', { sku: 'TENT-2', quantity: 12, reason: 'delivery' })
    expect(await ask(alpha, 'depot-api', '/items')).toEqual({ items: [{ sku: 'TENT-2', name: 'Tent', quantity: 12 }] })
    expect(await ask(alpha, 'depot-web', '/')).toContain('<td>Tent</td>')
    expect(await ask(bravo, 'depot-api', '/items')).toEqual({ items: [] })
  })

  it('goes back by itself from a version that does not come up, and answers all the while', async () => {
    const client = await instance.client('alpha')
    const before = imageOf(await deployment(client, 'depot-api'))
    let answered = 0
    await instance.succeed('place', 'depot-api', '--version', '1.1.0', '--on', 'alpha,bravo', '--no-wait')
    await eventually(async () => (imageOf(await deployment(client, 'depot-api')) === before ? undefined : true), {
      ...deadline,
      what: 'the failing version is tried',
    })
    const back = await eventually(
      async () => {
        expect(await ask(client, 'depot-api', '/version')).toEqual({ version: '1.0.0' })
        answered += 1
        const { status } = await release(client, 'depot-api')
        const ready = status?.conditions?.find(({ type }) => type === 'Ready')
        return ready?.reason === 'RolledBack' ? status : undefined
      },
      { ...deadline, what: 'the release goes back to the version before' },
    )
    expect(answered).toBeGreaterThan(1)
    expect(back.appliedVersion).toBe('1.0.0')
    expect(imageOf(await deployment(client, 'depot-api'))).toBe(before)
    // What the cluster shows, the hub knows a moment later.
    await eventually(async () => (/alpha\s.*depot-api\s+1\.0\.0/.test(await instance.succeed('status')) ? true : undefined), {
      ...deadline,
      what: 'the status of the fleet shows the version before',
    })
  })

  it('takes the version that was meant at once, its schema brought along, what was there still there', async () => {
    await instance.succeed('place', 'depot-api', '--version', '1.1.1', '--on', 'alpha,bravo')
    const client = await instance.client('alpha')
    expect(await ask(client, 'depot-api', '/version')).toEqual({ version: '1.1.1' })
    await ask(client, 'depot-api', '/items', { sku: 'ROPE', name: 'Rope', location: 'B1' })
    expect(await ask(client, 'depot-api', '/items')).toEqual({
      items: [
        { sku: 'ROPE', name: 'Rope', quantity: 0, location: 'B1' },
        { sku: 'TENT-2', name: 'Tent', quantity: 12 },
      ],
    })
  })
})
