import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeBundle } from '@muster/bundle'
import { type Descriptor, Layout, pushArtifact } from '@muster/oci'
import { attach, generateKeyPair, type KeyPair, signatureKeyFromPem, signStatement } from '@muster/trust'
import { onTestFinished } from 'vitest'

export const imageName = 'registry.example/team/app:1.0'
export const scanType = 'https://cosign.sigstore.dev/attestation/vuln/v1'

/** A folder with a layout: the bundle `shop` (tag 1.0.0) with one image, and keys; nothing is signed yet. */
export interface SignedMedia {
  readonly dir: string
  readonly reference: string
  readonly layout: Layout
  readonly bundle: Descriptor
  readonly image: Descriptor
  readonly keys: Readonly<Record<'release' | 'scanner' | 'other', KeyPair>>
  file(name: string): string
  sign(subject: Descriptor, by: 'release' | 'scanner' | 'other'): Promise<void>
  attest(subject: Descriptor, by: 'release' | 'scanner' | 'other', predicate: object): Promise<void>
  /** Writes a policy with the authorities `release` and `scanner`, and these rules. */
  policy(name: string, rules: readonly object[]): Promise<string>
}

export async function signedMedia(): Promise<SignedMedia> {
  const dir = await mkdtemp(path.join(tmpdir(), 'muster-verify-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const layout = await Layout.open(path.join(dir, 'media'), { create: true })
  const image = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] }, { tag: imageName })
  const source = path.join(dir, 'source')
  await mkdir(source)
  await writeFile(
    path.join(source, 'bundle.yaml'),
    'apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents:\n- name: main\n  manifests: [pod.yaml]\n',
  )
  await writeFile(
    path.join(source, 'pod.yaml'),
    `apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: "${imageName}"}]}\n`,
  )
  const { descriptor: bundle } = await makeBundle({
    sourceDir: source,
    target: layout,
    images: async () => ({ source: layout, descriptor: image }),
    renderKustomize: () => Promise.reject(new Error('nothing to render')),
  })
  await layout.putManifest((await layout.manifest(bundle.digest)).bytes, bundle.mediaType, { tag: '1.0.0' })
  const keys = { release: generateKeyPair(), scanner: generateKeyPair(), other: generateKeyPair() }
  for (const [name, { publicKey }] of Object.entries(keys)) await writeFile(path.join(dir, `${name}.pub`), publicKey)
  const key = (by: keyof typeof keys) => signatureKeyFromPem(keys[by].privateKey)
  return {
    dir,
    reference: `oci:${path.join(dir, 'media')}:1.0.0`,
    layout,
    bundle,
    image,
    keys,
    file: (name) => path.join(dir, name),
    sign: async (subject, by) => {
      await attach(layout, subject, await signStatement({ subject, key: key(by) }))
    },
    attest: async (subject, by, predicate) => {
      await attach(layout, subject, await signStatement({ subject, key: key(by), predicateType: scanType, predicate }))
    },
    policy: async (name, rules) => {
      const file = path.join(dir, `${name}.yaml`)
      const authorities = (['release', 'scanner'] as const).map((one) => ({ name: one, key: { publicKeys: [keys[one].publicKey] } }))
      // JSON is YAML.
      await writeFile(
        file,
        JSON.stringify({ apiVersion: 'muster.dev/v1alpha1', kind: 'TrustPolicy', metadata: { name }, spec: { authorities, rules } }),
      )
      return file
    },
  }
}
