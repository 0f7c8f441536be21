import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import type { RegistryAccess } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { createKeyPair } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { goPeer, goPeers, peerMs } from '../peers/peers.ts'

const instance = sharedInstance()
let dir: string
let cosign: string
let access: RegistryAccess
let bundle: string

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-cosign-'))
  cosign = await goPeer(goPeers.cosign)
  access = JSON.parse(await readFile(path.join(instance.state, 'registry', 'access.json'), 'utf8')) as RegistryAccess
  const auth = Buffer.from(`${access.reader.username}:${access.reader.password}`).toString('base64')
  await writeFile(path.join(dir, 'config.json'), JSON.stringify({ auths: { [access.host]: { auth } } }), { mode: 0o600 })
  await writeFile(path.join(dir, 'ca.crt'), access.ca)
  const alpha = await instance.client('alpha')
  const release = await alpha.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
  bundle = `${access.host}/${release.spec.bundle.repository}@${release.spec.bundle.digest}`
}, peerMs)

afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
})

async function verify(reference: string, key: string): Promise<{ code: number; stdout: string; stderr: string }> {
  return run(cosign, ['verify', '--key', key, '--insecure-ignore-tlog', reference], {
    env: { ...process.env, DOCKER_CONFIG: dir, SSL_CERT_FILE: path.join(dir, 'ca.crt') },
  })
}

const publisherKey = (): string => path.join(instance.state, 'keys', 'publisher.pub')

describe('cosign 3, with the public key and no transparency log,', () => {
  it('accepts the bundle', async () => {
    const outcome = await verify(bundle, publisherKey())
    expect(outcome.stderr).toContain('verified against the specified public key')
    expect(outcome.code).toBe(0)
  })

  it("accepts podinfo's image under its original name's mirror", async () => {
    const alpha = await instance.client('alpha')
    const deployment = await alpha.get<KubeObject & { spec: { template: { spec: { containers: { image: string }[] } } } }>({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      namespace: 'podinfo',
      name: 'podinfo',
    })
    const [name, digest] = deployment.spec.template.spec.containers[0]?.image.split('@') ?? []
    const repository = name?.replace(/:[^:/]+$/, '')
    const outcome = await verify(`${access.host}/mirror/${repository}@${digest}`, publisherKey())
    expect(outcome.stderr).toContain('verified against the specified public key')
    expect(outcome.code).toBe(0)
  })

  it('refuses both with another key', async () => {
    const other = path.join(dir, 'other.pub')
    await writeFile(other, createKeyPair().publicKey)
    expect((await verify(bundle, other)).code).not.toBe(0)
  })

  it('accepts what "muster sign" and "muster attest" added with a key of ours, in both formats', async () => {
    const environment = { ...process.env, MUSTER_INSTANCE: instance.id, MUSTER_STATE: instance.state, MUSTER_KEY_PASSWORD: 'secret' }
    const muster = async (...args: string[]): Promise<string> => {
      const outcome = await run(path.join(checkout, 'muster'), args, { env: environment, cwd: dir })
      expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}`).toBe(0)
      return outcome.stdout
    }
    await muster('key', 'create', 'team', '--format', 'cosign')
    await writeFile(path.join(dir, 'predicate.json'), '{"by":"ada"}')
    const type = 'https://example.test/review/v1'
    for (const format of ['bundle', 'cosign-tag']) {
      await muster('sign', bundle, '--key', 'team.key', '--format', format, '-a', `format=${format}`)
      await muster('attest', bundle, '--key', 'team.key', '--format', format, '--type', type, '--predicate', 'predicate.json')
    }
    const key = ['--key', path.join(dir, 'team.pub')]
    const older = ['--new-bundle-format=false', '--insecure-ignore-tlog']
    for (const args of [
      ['verify', ...key, '--private-infrastructure', '-a', 'format=bundle'],
      ['verify', ...key, ...older, '-a', 'format=cosign-tag'],
      ['verify-attestation', ...key, '--private-infrastructure', '--type', type],
      ['verify-attestation', ...key, ...older, '--type', type],
    ]) {
      const outcome = await run(cosign, [...args, bundle], {
        env: { ...process.env, DOCKER_CONFIG: dir, SSL_CERT_FILE: path.join(dir, 'ca.crt') },
      })
      expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}`).toBe(0)
    }
    const tree = JSON.parse(await muster('tree', bundle, '-o', 'json')) as { referrers: { statements: { format: string }[] }[] }
    const formats = tree.referrers.flatMap(({ statements }) => statements.map(({ format }) => format))
    expect(new Set(formats)).toEqual(new Set(['sigstore-bundle', 'cosign-signature', 'cosign-attestation']))
  })
})
