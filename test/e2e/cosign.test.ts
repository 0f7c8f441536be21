import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import type { RegistryAccess } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { createKeyPair } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
const version = 'v3.1.2'
/** The first build of cosign takes several minutes on two cores. */
const buildMs = 20 * 60_000
let dir: string
let cosign: string
let access: RegistryAccess
let bundle: string

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-cosign-'))
  cosign = await cosignProgram()
  access = JSON.parse(await readFile(path.join(instance.state, 'registry', 'access.json'), 'utf8')) as RegistryAccess
  const auth = Buffer.from(`${access.reader.username}:${access.reader.password}`).toString('base64')
  await writeFile(path.join(dir, 'config.json'), JSON.stringify({ auths: { [access.host]: { auth } } }), { mode: 0o600 })
  await writeFile(path.join(dir, 'ca.crt'), access.ca)
  const alpha = await instance.client('alpha')
  const release = await alpha.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
  bundle = `${access.host}/${release.spec.bundle.repository}@${release.spec.bundle.digest}`
}, buildMs)

afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
})

/** cosign itself, built once from its module into the cache. */
async function cosignProgram(): Promise<string> {
  const cache = process.env['MUSTER_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'muster')
  const folder = path.join(cache, 'peers', `cosign-${version}`)
  await mkdir(folder, { recursive: true })
  // An install with the same version is a matter of seconds, and so needs no bookkeeping of ours.
  const built = await run('go', ['install', `github.com/sigstore/cosign/v3/cmd/cosign@${version}`], {
    env: { ...process.env, GOBIN: folder },
  })
  if (built.code !== 0) throw new Error(`cosign could not be built: ${built.stderr}`)
  return path.join(folder, 'cosign')
}

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
})
