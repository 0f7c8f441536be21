import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { goPeer, goPeers, peerMs } from '../../../../test/peers/peers.ts'
import { signStatement } from '../signature/sigstore-bundle.ts'
import { signPredicateType } from '../signature/statement.ts'
import type { SigstoreAuthority } from './authority.ts'
import { logSignature, openKeylessKey, readSigningConfig, timestamp } from './making.ts'
import { certifiedKey, makeCertificate, type TestCertificate } from './testing/certificates.ts'
import { type Services, startServices } from './testing/services.ts'
import { verifyBlob } from './verify-blob.ts'

const artifact = Buffer.from('what was made')
const digest = `sha256:${createHash('sha256').update(artifact).digest('hex')}`
const email = 'release@example.test'
const now = () => new Date()

let dir: string
let cosign: string
let services: Services
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-sigstore-'))
  cosign = await goPeer(goPeers.cosign)
  services = await startServices(dir)
}, 3 * peerMs)
afterAll(async () => {
  await services?.stop()
  await rm(dir, { recursive: true, force: true })
})

const stamp = (signature: Uint8Array, signal?: AbortSignal) => timestamp(signature, services.timestampUrl, { signal })

async function trustedRoot(...args: readonly string[]): Promise<string> {
  const file = path.join(dir, `trusted-root-${createHash('sha256').update(args.join(' ')).digest('hex').slice(0, 8)}.json`)
  const outcome = await run(cosign, ['trusted-root', 'create', ...args, '--out', file])
  expect(outcome.stderr + outcome.stdout).not.toContain('Error')
  return file
}

/** `cosign verify-blob-attestation` of a bundle, which reads the same statement. */
async function cosignVerifies(bundle: unknown, root: string, ...args: readonly string[]) {
  await writeFile(path.join(dir, 'artifact'), artifact)
  await writeFile(path.join(dir, 'bundle.json'), JSON.stringify(bundle))
  return run(cosign, [
    'verify-blob-attestation',
    ...['--bundle', path.join(dir, 'bundle.json'), '--trusted-root', root, '--certificate-identity', email, '--type', signPredicateType],
    ...args,
    path.join(dir, 'artifact'),
  ])
}

describe('keyless, with a Fulcio, a Rekor on tiles and a timestamp authority of one’s own', () => {
  it('what Muster signs is accepted by Muster and by cosign, by the trusted root that cosign makes', async () => {
    const key = await openKeylessKey({ fulcioUrl: services.fulcioUrl, identityToken: services.token(email) })
    const signed = await signStatement({ subject: { digest }, key, timestamp: stamp })
    const bundle = await logSignature(signed, { rekorUrl: services.rekorUrl, rekorVersion: 2 })
    const root = await instanceRoot()
    const authority = await instanceAuthority(root)
    const verified = await verifyBlob(Buffer.from(JSON.stringify(bundle)), { digest }, authority, { now: now() })
    expect(verified).toMatchObject({ identity: email, issuer: services.issuer, predicateType: signPredicateType })
    await expect(verifyBlob(Buffer.from(JSON.stringify(signed)), { digest }, authority, { now: now() })).rejects.toMatchObject({
      code: 'NoneFound',
    })
    const outcome = await cosignVerifies(
      bundle,
      root,
      '--certificate-oidc-issuer',
      services.issuer,
      '--insecure-ignore-sct',
      '--use-signed-timestamps',
    )
    expect(outcome.stderr).toContain('Verified OK')
  })

  it('a token that Fulcio does not believe makes no signature, and is not in the message', async () => {
    const identityToken = `${services.token(email).slice(0, -8)}AAAAAAAA`
    const failure: unknown = await openKeylessKey({ fulcioUrl: services.fulcioUrl, identityToken }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'ServiceRefused', transient: false })
    expect(String(failure)).not.toContain(identityToken.slice(0, 40))
  })
})

describe('what cosign signs', () => {
  it('over a file, keyless by a signing config that Muster reads too, is accepted by Muster', async () => {
    const [config, bundle] = [path.join(dir, 'signing-config.json'), path.join(dir, 'cosign.sigstore.json')]
    const since = 'start-time=2024-01-01T00:00:00Z,operator=example'
    await succeed(
      'signing-config',
      'create',
      '--out',
      config,
      ...[
        ...['--fulcio', `url=${services.fulcioUrl},api-version=1,${since}`],
        ...['--rekor', `url=${services.rekorUrl},api-version=2,${since}`, '--rekor-config', 'ANY'],
        ...['--tsa', `url=${services.timestampUrl}/api/v1/timestamp,api-version=1,${since}`, '--tsa-config', 'ANY'],
      ],
    )
    expect(readSigningConfig(JSON.parse(await readFile(config, 'utf8')), now())).toEqual({
      fulcioUrl: services.fulcioUrl,
      rekor: { url: services.rekorUrl, version: 2 },
      timestampUrl: `${services.timestampUrl}/api/v1/timestamp`,
    })
    const root = await instanceRoot()
    const file = path.join(dir, 'artifact')
    await writeFile(file, artifact)
    await succeed(
      'sign-blob',
      '--yes',
      '--bundle',
      bundle,
      '--signing-config',
      config,
      '--trusted-root',
      root,
      '--identity-token',
      services.token(email),
      file,
    )
    const verified = await verifyBlob(await readFile(bundle), { content: () => createReadStream(file) }, await instanceAuthority(root), {
      now: now(),
    })
    expect(verified).toMatchObject({ identity: email, issuer: services.issuer, digest })
  })

  it('over a file with a key and no log is accepted by Muster with that key alone', async () => {
    const [file, bundle, config, prefix] = ['artifact', 'key.sigstore.json', 'none.json', 'cosign'].map((name) => path.join(dir, name)) as [
      string,
      string,
      string,
      string,
    ]
    await writeFile(file, artifact)
    await succeed(
      'signing-config',
      'create',
      '--no-default-fulcio',
      '--no-default-oidc',
      '--no-default-rekor',
      '--no-default-tsa',
      '--out',
      config,
    )
    await succeed('generate-key-pair', '--output-key-prefix', prefix)
    await succeed('sign-blob', '--yes', '--key', `${prefix}.key`, '--bundle', bundle, '--signing-config', config, file)
    const authority = { kind: 'key', name: 'team', publicKeys: [await readFile(`${prefix}.pub`, 'utf8')] } as const
    const content = () => createReadStream(file)
    expect(await verifyBlob(await readFile(bundle), { content }, authority, { now: now() })).toMatchObject({ authority: 'team', digest })
  })
})

describe('what was published long ago, as Go modules carry it for their tests,', () => {
  it.each([
    ['v0.1, a statement of npm', 'github.com/sigstore/sigstore-go@v1.2.1', 'examples/bundle-provenance.json', ''],
    [
      'v0.2, over a file',
      'github.com/sigstore/protobuf-specs@v0.5.1',
      'gen/pb-rust/sigstore-protobuf-specs/assets/a.txt.sigstore',
      'gen/pb-rust/sigstore-protobuf-specs/assets/a.txt',
    ],
    ['v0.3, an attestation of cosign', 'github.com/sigstore/cosign/v3@v3.1.2', 'pkg/cosign/testdata/oci-attestation.sigstore.json', ''],
  ])('%s, is accepted by Sigstore’s public trusted root', async (_what, module, bundleFile, file) => {
    const { stdout } = await run('go', ['mod', 'download', '-json', module], { env: { ...process.env, GOFLAGS: '-mod=mod' }, cwd: dir })
    const folder = String((JSON.parse(stdout) as { Dir: string }).Dir)
    const bundle = await readFile(path.join(folder, bundleFile))
    const trustedRoot = JSON.parse(await readFile(new URL('fixtures/public-good-trusted-root.json', import.meta.url), 'utf8'))
    const authority: SigstoreAuthority = {
      kind: 'sigstore',
      name: 'public',
      trustedRoot,
      identities: [{ issuerPattern: 'https://(github\\.com/login/oauth|token\\.actions\\.githubusercontent\\.com)' }],
    }
    const content = file === '' ? { digest: subjectOf(bundle) } : { content: () => createReadStream(path.join(folder, file)) }
    expect(await verifyBlob(bundle, content, authority, { now: now() })).toMatchObject({ authority: 'public', signedAt: expect.any(Date) })
  })
})

/** The digest of what a bundle's statement is about. */
function subjectOf(bundle: Buffer): string {
  const { dsseEnvelope } = JSON.parse(bundle.toString('utf8')) as { dsseEnvelope: { payload: string } }
  const { subject } = JSON.parse(Buffer.from(dsseEnvelope.payload, 'base64').toString('utf8')) as {
    subject: [{ digest: Record<string, string> }]
  }
  const [[hash, hex] = []] = Object.entries(subject[0].digest)
  return `${hash}:${hex}`
}

async function succeed(...args: readonly string[]): Promise<void> {
  const outcome = await run(cosign, args, { cwd: dir, env: { ...process.env, COSIGN_PASSWORD: 'test' } })
  expect([outcome.code, outcome.code === 0 ? '' : outcome.stderr]).toEqual([0, ''])
}

/** The trusted root of the services, as cosign makes it. */
function instanceRoot(): Promise<string> {
  return trustedRoot(
    ...['--fulcio', `url=${services.fulcioUrl},certificate-chain=${services.fulcioChain}`],
    ...['--tsa', `url=${services.timestampUrl},certificate-chain=${services.timestampChain}`],
    ...[
      '--rekor',
      `url=https://${services.rekorOrigin},public-key=${services.rekorKey},start-time=2024-01-01T00:00:00Z,origin=${services.rekorOrigin}`,
    ],
  )
}

async function instanceAuthority(root: string): Promise<SigstoreAuthority> {
  return {
    kind: 'sigstore',
    name: 'own instance',
    trustedRoot: JSON.parse(await readFile(root, 'utf8')),
    identities: [{ issuer: services.issuer, subject: email }],
  }
}

describe('with a certificate of an own PKI and a time stamp', () => {
  it('what Muster signs is accepted by Muster and by cosign, also when the certificate has expired since', async () => {
    const root = await makeCertificate({ name: 'Root', authority: true, to: new Date(Date.now() + 900 * 86_400_000) })
    const leaf: TestCertificate = await makeCertificate({ name: 'release', issuer: root, names: [{ type: 'email', value: email }] })
    const bundle = await signStatement({ subject: { digest }, key: certifiedKey(leaf), timestamp: stamp })
    const authority = {
      kind: 'x509',
      name: 'own PKI',
      roots: [root.pem],
      identities: [{ subject: email }],
      timestampAuthorities: [await readFile(services.timestampChain, 'utf8')],
      requireTimestamp: true,
    } as const
    const later = new Date(Date.now() + 30 * 86_400_000)
    expect(await verifyBlob(Buffer.from(JSON.stringify(bundle)), { digest }, authority, { now: later })).toMatchObject({ identity: email })
    const file = path.join(dir, 'own-root.pem')
    await writeFile(file, root.pem)
    const trust = await trustedRoot(
      ...['--fulcio', `url=https://ca.example.test,certificate-chain=${file}`],
      ...['--tsa', `url=${services.timestampUrl},certificate-chain=${services.timestampChain}`],
    )
    const outcome = await cosignVerifies(
      bundle,
      trust,
      '--certificate-oidc-issuer-regexp',
      '.*',
      '--insecure-ignore-sct',
      '--insecure-ignore-tlog',
      '--use-signed-timestamps',
    )
    expect(outcome.stderr).toContain('Verified OK')
  })
})
