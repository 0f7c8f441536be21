import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { EnclavePolicy, TrustRules as Rules } from '@muster/api'
import { makeBundle } from '@muster/bundle'
import { type Descriptor, Layout, pushArtifact } from '@muster/oci'
import { attach, type ChannelContent, generateKeyPair, type PolicyLevel, signatureKeyFromPem, signStatement } from '@muster/trust'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadBundle } from './bundle-loader.ts'
import { TrustRules } from './trust-rules.ts'

const keys = { release: generateKeyPair(), scanner: generateKeyPair() }
const scanType = 'https://cosign.sigstore.dev/attestation/vuln/v1'
const signal = new AbortController().signal
const now = new Date('2030-01-10T00:00:00Z')
const scan = (critical: number, at = '2030-01-09T00:00:00Z') => ({ critical, metadata: { scanFinishedOn: at } })
const rules = (...list: Rules['rules']): Rules => ({
  authorities: [
    { name: 'release', key: { publicKeys: [keys.release.publicKey] } },
    { name: 'scanner', key: { publicKeys: [keys.scanner.publicKey] } },
  ],
  rules: list,
})
const scanned = (match: Rules['rules'][number]['match']) =>
  rules({
    name: 'scanned',
    match,
    attestations: [{ predicateType: scanType, authorities: ['scanner'], maxAge: '7d', where: ['predicate.critical == 0'] }],
  })

async function world() {
  const dir = await mkdtemp(path.join(tmpdir(), 'muster-policy-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const layout = await Layout.open(path.join(dir, 'layout'), { create: true })
  const image = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] })
  await mkdir(path.join(dir, 'source'))
  await writeFile(
    path.join(dir, 'source/bundle.yaml'),
    'apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents:\n- name: main\n  manifests: [pod.yaml]\n',
  )
  await writeFile(
    path.join(dir, 'source/pod.yaml'),
    'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: "registry.example/app:1.0"}]}\n',
  )
  const { descriptor: bundle } = await makeBundle({
    sourceDir: path.join(dir, 'source'),
    target: layout,
    images: async () => ({ source: layout, descriptor: image }),
    renderKustomize: () => Promise.reject(new Error('nothing to render')),
  })
  const key = (by: keyof typeof keys) => signatureKeyFromPem(keys[by].privateKey)
  return {
    image,
    bundle,
    sign: async () => attach(layout, bundle, await signStatement({ subject: bundle, key: key('release') })),
    attest: async (subject: Descriptor, predicate: object) =>
      attach(layout, subject, await signStatement({ subject, key: key('scanner'), predicateType: scanType, predicate })),
    /** Loads the bundle as the agent does, by a channel and by policies of the site. */
    load: async (
      { channel, site, publishers = true }: { channel?: [PolicyLevel, Rules][]; site?: Rules; publishers?: boolean },
      { refuseOld = true } = {},
    ) => {
      const content = {
        publishers: publishers ? [{ name: 'publisher', publicKey: keys.release.publicKey }] : [],
        policies: channel?.map(([level, one], at) => ({ name: `p${at}`, level, rules: one })),
      } as unknown as ChannelContent
      const policies =
        site === undefined
          ? []
          : [{ apiVersion: 'muster.dev/v1alpha1', kind: 'EnclavePolicy', metadata: { name: 'site', uid: 'x' }, spec: { trust: site } }]
      const trust = new TrustRules(() => policies as EnclavePolicy[])
      const effective = await trust.policy(content)
      const policy = effective && { effective, now, refuseOld, source: () => layout }
      const wanted = { repository: 'bundles/shop', version: '1.0.0', digest: bundle.digest }
      return loadBundle(layout, wanted, { publishers: content.publishers, policy }, signal)
    },
  }
}

const reason = (expected: string) => expect.objectContaining({ name: 'BundleRefusal', reason: expected })

describe('a bundle in a cluster', () => {
  it('without policies is held to the publishers, as ever', async () => {
    const { load, sign } = await world()
    await expect(load({})).rejects.toThrow(reason('SignatureMissing'))
    await sign()
    expect(await load({})).toMatchObject({ signedBy: ['publisher'] })
    await expect(load({ publishers: false })).rejects.toThrow(reason('SignatureWrongKey'))
  })

  it('is held to the policies of the channel too, each refusal with its reason', async () => {
    const { load, sign, attest, bundle } = await world()
    await sign()
    const channel: [PolicyLevel, Rules][] = [['organization', scanned({ bundles: ['bundles/*'] })]]
    await expect(load({ channel })).rejects.toThrow(reason('AttestationMissing'))
    await attest(bundle, scan(3))
    await expect(load({ channel })).rejects.toThrow(reason('PredicateRefused'))
    await attest(bundle, scan(0, '2029-01-01T00:00:00Z'))
    await expect(load({ channel })).rejects.toThrow(reason('PredicateRefused'))
    // What runs already is not refused for its age.
    expect(await load({ channel }, { refuseOld: false })).toMatchObject({ version: '1.0.0' })
    await attest(bundle, scan(0))
    expect(await load({ channel })).toMatchObject({ signedBy: ['publisher'] })
  })

  it('is held to what the site asks of its images, which the hub cannot take back', async () => {
    const { load, sign, attest, image } = await world()
    await sign()
    const site = scanned({ images: ['registry.example/*'] })
    await expect(load({ site })).rejects.toThrow(reason('AttestationMissing'))
    await expect(
      load({
        site,
        channel: [['organization', rules({ name: 'r', match: { bundles: ['**'] }, signatures: [{ authorities: ['release'] }] })]],
      }),
    ).rejects.toThrow(reason('AttestationMissing'))
    await attest(image, scan(0))
    expect(await load({ site })).toMatchObject({ version: '1.0.0' })
  })

  it('may be known by policies alone, where the channel names no publisher', async () => {
    const { load, sign } = await world()
    await sign()
    const signed = (pattern: string): [PolicyLevel, Rules][] => [
      ['organization', rules({ name: 'signed', match: { bundles: [pattern] }, signatures: [{ authorities: ['release'] }] })],
    ]
    expect(await load({ publishers: false, channel: signed('bundles/shop') })).toMatchObject({ signedBy: ['release'] })
    await expect(load({ publishers: false, channel: signed('bundles/other') })).rejects.toThrow(reason('SignatureMissing'))
  })

  it('is refused whole by a policy that cannot be used', async () => {
    const { load, sign } = await world()
    await sign()
    const site: Rules = { rules: [{ name: 'r', match: { bundles: ['**'] }, signatures: [{ authorities: ['nobody'] }] }] }
    await expect(load({ site })).rejects.toMatchObject({ code: 'PolicyInvalid' })
  })
})

describe('by what bundles are verified', () => {
  const content = { publishers: [] } as unknown as ChannelContent

  it('is not known until the site’s policies were read', () => {
    expect(new TrustRules(() => undefined).key(content)).toBeUndefined()
    expect(new TrustRules(() => []).key(content)).toBeDefined()
  })

  it('changes with any of it', () => {
    const policy = (name: string) => ({ apiVersion: 'muster.dev/v1alpha1', kind: 'EnclavePolicy', metadata: { name }, spec: {} }) as const
    const keyOf = (channel: Partial<ChannelContent>, ...names: string[]) =>
      new TrustRules(() => names.map(policy)).key({ ...content, ...channel })
    const all = [keyOf({}), keyOf({}, 'a'), keyOf({}, 'b'), keyOf({ policies: [{ name: 'x', level: 'cluster', rules: { rules: [] } }] })]
    expect(new Set(all).size).toBe(all.length)
  })
})
