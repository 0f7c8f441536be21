import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Descriptor, mediaTypes, pushArtifact, Registry, type Repository, serveRegistry } from '@muster/oci'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { goPeer, goPeers, peerMs } from '../../../../test/peers/peers.ts'
import { peerRegistries, startPeerRegistry } from '../../../../test/peers/registries.ts'
import { generatePrivateKey, publicPem, readPrivateKeyFile, writePrivateKey } from '../keys/key-file.ts'
import { memoryKey } from '../keys/memory-key.ts'
import type { SignatureKey } from '../keys/signature-key.ts'
import { attach } from './attach.ts'
import { attachCosignAttestation, attachCosignSignature } from './cosign-writer.ts'
import { isSignedBy } from './envelope.ts'
import { readEnvelopes } from './read-envelopes.ts'
import { signStatement } from './sigstore-bundle.ts'

const user = { name: 'writer', password: 'w', access: 'write' as const }
const password = 'secret'
const predicateType = 'https://example.test/review/v1'

interface RunningRegistry {
  readonly host: string
  stop(): Promise<void>
}

interface Place {
  readonly name: string
  start(dir: string): Promise<RunningRegistry>
}

const places: readonly Place[] = [
  {
    name: "Muster's registry, with the referrers API",
    start: async (root) => {
      const server = await serveRegistry({ root, listen: { host: '127.0.0.1', port: 0 }, users: [user] })
      return { host: `127.0.0.1:${server.port}`, stop: () => server.close() }
    },
  },
  ...peerRegistries.map((peer) => ({ name: peer.name, start: (directory: string) => startPeerRegistry(peer, { directory }) })),
]

let dir: string
let cosign: string
let theirs: SignatureKey
let ours: SignatureKey

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-cosign-'))
  cosign = await goPeer(goPeers.cosign)
  const own = generatePrivateKey('P-256')
  ours = memoryKey(own)
  await writeFile(file('own.key'), await writePrivateKey(own, 'cosign', password), { mode: 0o600 })
  await writeFile(file('own.pub'), publicPem(own))
  await writeFile(file('predicate.json'), '{"by":"ada"}')
  const larger = generatePrivateKey('P-384')
  await writeFile(file('p384.key'), await writePrivateKey(larger, 'cosign', password), { mode: 0o600 })
  await writeFile(file('p384.pub'), publicPem(larger))
  await must(
    'signing-config',
    'create',
    '--no-default-fulcio',
    '--no-default-oidc',
    '--no-default-rekor',
    '--no-default-tsa',
    '--out',
    file('none.json'),
  )
  await must('generate-key-pair', '--output-key-prefix', file('theirs'))
  theirs = memoryKey((await readPrivateKeyFile(await text('theirs.key'), async () => password)).key)
}, peerMs)

afterAll(() => rm(dir, { recursive: true, force: true }))

const file = (name: string): string => path.join(dir, name)

async function text(name: string): Promise<string> {
  return (await import('node:fs/promises')).readFile(file(name), 'utf8')
}

async function call(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return run(cosign, args, { env: { ...process.env, COSIGN_PASSWORD: password, DOCKER_CONFIG: dir } })
}

async function must(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await call(...args)
  expect(code, `cosign ${args.join(' ')}\n${stdout}\n${stderr}`).toBe(0)
  return stdout
}

describe.each(places)('through $name,', (place) => {
  let registry: RunningRegistry
  let client: Registry
  let repository: Repository
  let count = 0

  beforeAll(async () => {
    const folder = await mkdtemp(path.join(dir, 'registry-'))
    registry = await place.start(folder)
    const auth = Buffer.from(`${user.name}:${user.password}`).toString('base64')
    await writeFile(file('config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
    client = new Registry({ host: registry.host, plainHttp: true, credentials: { username: user.name, password: user.password } })
    repository = client.repository('team/app')
  }, peerMs)

  afterAll(async () => {
    client.close()
    await registry.stop()
  })

  /** An artifact of its own for each test, and its name for cosign. */
  async function artifact(): Promise<{ subject: Descriptor; name: string }> {
    count += 1
    const layers = [{ mediaType: mediaTypes.layerTar, bytes: Buffer.from(`layer ${count}`) }]
    const subject = await pushArtifact(repository, { artifactType: 'application/vnd.example.image', layers })
    return { subject, name: `${registry.host}/team/app@${subject.digest}` }
  }

  it('cosign accepts our bundle, its annotations and our attestation, and refuses another key', async () => {
    const { subject, name } = await artifact()
    await attach(repository, subject, await signStatement({ subject, key: ours, annotations: { a: 'b' } }))
    await attach(repository, subject, await signStatement({ subject, key: ours, predicateType, predicate: { by: 'ada' } }))
    await must('verify', '--key', file('own.pub'), '--private-infrastructure', '-a', 'a=b', name)
    await must('verify-attestation', '--key', file('own.pub'), '--private-infrastructure', '--type', predicateType, name)
    expect((await call('verify', '--key', file('theirs.pub'), '--private-infrastructure', name)).code).not.toBe(0)
    expect((await call('verify', '--key', file('own.pub'), '--private-infrastructure', '-a', 'a=c', name)).code).not.toBe(0)
  })

  it('cosign accepts our signature and attestation in its older format, several under one tag', async () => {
    const { subject, name } = await artifact()
    const reference = `${registry.host}/team/app`
    await attachCosignSignature(repository, subject, { key: theirs, reference })
    await attachCosignSignature(repository, subject, { key: ours, reference, annotations: { a: 'b' } })
    const statement = await signStatement({ subject, key: ours, predicateType, predicate: { by: 'ada' } })
    await attachCosignAttestation(repository, subject, statement, { key: ours })
    const older = ['--insecure-ignore-tlog', '--new-bundle-format=false']
    await must('verify', '--key', file('own.pub'), ...older, '-a', 'a=b', name)
    await must('verify', '--key', file('theirs.pub'), ...older, name)
    await must('verify-attestation', '--key', file('own.pub'), ...older, '--type', predicateType, name)
  })

  it("we accept cosign's bundles and its older format, signatures and attestations, beside each other", async () => {
    const { subject, name } = await artifact()
    const older = ['--new-bundle-format=false', '--use-signing-config=false', '--tlog-upload=false']
    for (const format of [['--signing-config', file('none.json')], older]) {
      await must('sign', '--key', file('theirs.key'), ...format, '-a', 'a=b', name)
      await must('attest', '--key', file('theirs.key'), ...format, '--predicate', file('predicate.json'), '--type', predicateType, name)
    }
    const { envelopes, problems } = await readEnvelopes(repository, subject)
    expect(problems).toEqual([])
    expect(envelopes.every((envelope) => isSignedBy(envelope, theirs.publicKey) && !isSignedBy(envelope, ours.publicKey))).toBe(true)
    expect(
      envelopes.map(({ format, claims }) => `${format} ${claims.predicateType ?? ''} ${JSON.stringify(claims.annotations ?? {})}`).sort(),
    ).toEqual([
      `cosign-attestation ${predicateType} {}`,
      'cosign-signature  {"a":"b"}',
      `sigstore-bundle ${predicateType} {}`,
      'sigstore-bundle https://sigstore.dev/cosign/sign/v1 {"a":"b"}',
    ])
  })

  it('cosign signs with a key file that we wrote, also on P-384, and adds to what hangs there', async () => {
    const { subject, name } = await artifact()
    await attach(repository, subject, await signStatement({ subject, key: ours }))
    await must('sign', '--key', file('own.key'), '--signing-config', file('none.json'), name)
    await must('sign', '--key', file('p384.key'), '--signing-config', file('none.json'), name)
    const { envelopes } = await readEnvelopes(repository, subject)
    expect(envelopes.filter((envelope) => isSignedBy(envelope, ours.publicKey))).toHaveLength(2)
    const larger = await text('p384.pub')
    expect(envelopes.filter((envelope) => isSignedBy(envelope, larger))).toHaveLength(1)
  })
})
