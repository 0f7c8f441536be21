import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Release, type TrustPolicy } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { SmallBundles } from '../environment/small-bundle.ts'

const instance = sharedInstance()
const reviewType = 'https://example.test/review/v1'
let dir: string
let bundles: SmallBundles
let hub: KubeClient
let alpha: KubeClient

/** Of another content in each run: what was attested in an earlier one stays attested in a registry that is kept. */
const run = randomUUID()
const objects = (version: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: reviewed\ndata:\n  version: ${version}\n  run: ${run}\n`

async function rules(): Promise<object> {
  const publicKey = await readFile(path.join(instance.state, 'keys', 'publisher.pub'), 'utf8')
  return {
    authorities: [{ name: 'release', key: { publicKeys: [publicKey] } }],
    rules: [
      {
        name: 'reviewed',
        match: { bundles: ['bundles/reviewed'] },
        attestations: [{ predicateType: reviewType, authorities: ['release'], where: ['predicate.findings == 0'] }],
      },
    ],
  }
}

async function attest(version: string, findings: number): Promise<void> {
  const file = path.join(dir, 'review.json')
  await writeFile(file, JSON.stringify({ findings }))
  await instance.succeed('attest', `bundles/reviewed:${version}`, '--type', reviewType, '--predicate', file)
}

function reason(digest: string, wanted: string): Promise<string> {
  return eventually(
    async () => {
      const release = await alpha.find<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'reviewed' })
      const ready = release?.status?.conditions?.find((one) => one.type === 'Ready')
      return release?.spec.bundle.digest === digest && ready?.reason === wanted ? ready.message : undefined
    },
    { withinMs: 90_000, what: `${wanted} of ${digest}` },
  )
}

async function running(): Promise<string | undefined> {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'reviewed', name: 'reviewed' }
  return (await alpha.find<KubeObject & { data?: Record<string, string> }>(ref))?.data?.['version']
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-trust-policy-'))
  bundles = await SmallBundles.open(instance, 'reviewed')
  hub = await instance.client('hub')
  alpha = await instance.client('alpha')
})

afterAll(async () => {
  await hub.delete({ apiVersion, kind: 'TrustPolicy', name: 'reviewed' })
  await alpha.delete({ apiVersion, kind: 'EnclavePolicy', name: 'reviewed' })
  await instance.succeed('place', 'reviewed', '--nowhere')
  await bundles.close()
  await rm(dir, { recursive: true, force: true })
  hub.close()
  alpha.close()
})

describe('a policy that asks for an attestation', () => {
  it('refuses a bundle without it, with the reason, and takes it once it is attested', async () => {
    await hub.apply({
      apiVersion,
      kind: 'TrustPolicy',
      metadata: { name: 'reviewed' },
      spec: { clusters: { names: ['alpha'] }, ...(await rules()) },
    } as KubeObject)
    await eventually(
      async () => {
        const policy = await hub.get<TrustPolicy & KubeObject>({ apiVersion, kind: 'TrustPolicy', name: 'reviewed' })
        return policy.status?.conditions?.find((one) => one.reason === 'Ready')
      },
      { withinMs: 30_000, what: 'the policy is ready' },
    )
    const { digest } = await bundles.publish('1.0.0', objects('1.0.0'))
    await instance.succeed('place', 'reviewed', '--version', '1.0.0', '--on', 'alpha', '--no-wait')
    expect(await reason(digest, 'AttestationMissing')).toContain('Rule reviewed of policy reviewed asks for an attestation')
    expect(await running()).toBeUndefined()
    await attest('1.0.0', 2)
    expect(await reason(digest, 'PredicateRefused')).toContain('predicate.findings == 0')
    await attest('1.0.0', 0)
    await reason(digest, 'Healthy')
    expect(await running()).toBe('1.0.0')
  })

  it('holds when the site itself asks, whatever the hub does; what ran keeps running', async () => {
    await alpha.apply({ apiVersion, kind: 'EnclavePolicy', metadata: { name: 'reviewed' }, spec: { trust: await rules() } } as KubeObject)
    await hub.delete({ apiVersion, kind: 'TrustPolicy', name: 'reviewed' })
    const { digest } = await bundles.publish('1.1.0', objects('1.1.0'))
    await instance.succeed('place', 'reviewed', '--version', '1.1.0', '--on', 'alpha', '--no-wait')
    await reason(digest, 'AttestationMissing')
    expect(await running()).toBe('1.0.0')
    await attest('1.1.0', 0)
    await reason(digest, 'Healthy')
    expect(await running()).toBe('1.1.0')
  })
})
