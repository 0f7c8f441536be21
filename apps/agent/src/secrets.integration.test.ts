import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { apiVersion, type ClusterReport, type ReleaseReport } from '@muster/api'
import type { Ref } from '@muster/kube'
import { type PublicSealingKey, readPublicKey, seal } from '@muster/seal'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const cluster = `secrets-${id}`
const system = `agent-${id}`
const shop = `shop-${id}`
/** Found wherever it is, whole or in part. */
const value = `correct-horse-${randomBytes(12).toString('hex')}`
const logged: string[] = []
const log = (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`)

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let entry: ChannelRelease
let key: PublicSealingKey

const manifests = `
apiVersion: v1
kind: Secret
metadata:
  name: db
data: {}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: plain
  labels:
    odd: fine
data:
  a: b
`
const parameters = `parameters:
  - name: password
    schema: {type: string, minLength: 3}
    secret: true
    set: [{target: {kind: Secret, name: db}, path: data.password}]
  - name: odd
    schema: {type: string}
    default: fine
    set: [{target: {kind: ConfigMap, name: plain}, path: metadata.labels.odd}]
`
const secret: Ref = { apiVersion: 'v1', kind: 'Secret', namespace: shop, name: 'db' }
const release = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)

/** Places the bundle with this sealed value, and waits until the release says this. */
async function placed(
  sealed: string,
  says: { readonly reason: string; readonly message?: string },
  more = {},
  others: Readonly<Record<string, string>> = {},
): Promise<ClusterReport> {
  const settings = { drift: { mode: 'correct' as const }, sealed: { password: sealed, ...others } }
  const generation = await fleet.channel([{ ...entry, settings }], more)
  return fleet.reported((report) => {
    const found = report.generation >= generation ? release(report) : undefined
    return found?.reason === says.reason && found.message.includes(says.message ?? '')
  })
}

const live = async (): Promise<string | undefined> => {
  const data = (await client.find(secret))?.['data'] as Record<string, string> | undefined
  return data?.['password'] === undefined ? undefined : Buffer.from(data['password'], 'base64').toString()
}

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id, { cluster, logger: { debug: log, info: log, warn: log, error: log } }))
  entry = await fleet.publish(shop, '1.0.0', manifests, { bundleYaml: parameters })
  agent.start()
  key = await readPublicKey((await fleet.reported((report) => report.sealing !== undefined)).sealing?.key)
})

afterAll(async () => end(shop))

describe('a sealed value', { timeout: 120_000 }, () => {
  it('is unsealed where the parameter of the bundle puts it, and its drift is corrected', async () => {
    await placed(await seal(value, { cluster, release: shop, parameter: 'password' }, key), { reason: 'Healthy' })
    expect(await live()).toBe(value)
    await client.patch(secret, { data: { password: Buffer.from('changed').toString('base64') } }, { type: 'merge' })
    await eventually(async () => (await live()) === value)
    await fleet.reported((report) => (release(report)?.driftCorrected ?? 0) > 0)
  })

  it.each([
    ['cluster', { cluster: 'elsewhere', release: shop, parameter: 'password' }, 'sealed for parameter password of release shop'],
    ['release', { cluster, release: 'bank', parameter: 'password' }, 'of release bank in cluster'],
    ['parameter', { cluster, release: shop, parameter: 'username' }, 'sealed for parameter username'],
  ])('that was sealed for another %s is refused by name, and what runs keeps its own', async (_, place, says) => {
    const sealed = await seal('replayed', place, key)
    await placed(sealed, { reason: 'CustomizationInvalid', message: says.replace('release shop', `release ${shop}`) })
    expect(await live()).toBe(value)
  })

  it('that was sealed to a key which the cluster does not have is refused with the key’s name', async () => {
    const { createSealingKey, publicHalf } = await import('@muster/seal')
    const strange = publicHalf(await createSealingKey())
    const sealed = await seal('strange', { cluster, release: shop, parameter: 'password' }, strange)
    await placed(sealed, { reason: 'CustomizationInvalid', message: `sealed to key ${strange.kid}, which this cluster does not have` })
    expect(await live()).toBe(value)
  })

  it('outlives a rotation: the cluster seals it anew by itself, and both are read', async () => {
    const old = await seal(value, { cluster, release: shop, parameter: 'password' }, key)
    await placed(old, { reason: 'Healthy' })
    const asked = { newSealingKeyAfter: new Date().toISOString() }
    await placed(old, { reason: 'Healthy' }, asked)
    const { sealing } = await fleet.reported((report) => report.sealing?.resealed?.length === 1)
    expect(sealing?.key.kid).not.toBe(key.kid)
    expect(sealing?.retired).toEqual([key.kid])
    await placed(sealing?.resealed?.[0]?.value ?? '', { reason: 'Healthy' }, asked)
    await fleet.reported((report) => report.sealing?.resealed === undefined)
    expect(await live()).toBe(value)
  })

  it('that the API server refuses, and repeats, is told without it', async () => {
    const of = (parameter: string, text: string) => seal(text, { cluster, release: shop, parameter }, key)
    const said = { reason: 'ApplyFailed', message: 'Invalid value: "****' }
    const report = await placed(await of('password', value), said, {}, { odd: await of('odd', `${value} is no label`) })
    expect(release(report)?.message).toContain(`ConfigMap ${shop}/plain`)
    await placed(await of('password', value), { reason: 'Healthy' })
  })

  it('is nowhere else: not in logs, events, reports, Releases, the agent’s state or its cache', async () => {
    const events = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace: shop })
    const found = await client.get({ apiVersion, kind: 'Release', name: shop })
    const state = await client.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: system, name: 'muster-agent-state' })
    const packed = (state['binaryData'] as Record<string, string>)['channel.json.gz'] ?? ''
    const files = (await readdir(fleet.store, { recursive: true, withFileTypes: true })).filter((file) => file.isFile())
    const cached = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'latin1')))
    expect(events.items.length).toBeGreaterThan(0)
    expect(files.length).toBeGreaterThan(0)
    expect(logged.length).toBeGreaterThan(0)
    const places: Record<string, string> = {
      logs: logged.join('\n'),
      events: JSON.stringify(events),
      reports: JSON.stringify(fleet.reports),
      release: JSON.stringify(found),
      state: JSON.stringify(state) + gunzipSync(Buffer.from(packed, 'base64')).toString('utf8'),
      cache: cached.join('\n'),
    }
    const forms = [
      value,
      Buffer.from(value).toString('base64').replace(/=+$/, ''),
      Buffer.from(value).toString('base64url'),
      Buffer.from(value).toString('hex'),
    ]
    for (const [place, text] of Object.entries(places)) for (const form of forms) expect(text.includes(form), place).toBe(false)
  })
})
