import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { goPeer, goPeers, peerMs } from '../../../../test/peers/peers.ts'
import { signStatement } from '../signature/sigstore-bundle.ts'
import { signPredicateType } from '../signature/statement.ts'
import type { SigstoreAuthority } from './authority.ts'
import { logSignature, openKeylessKey, timestamp } from './making.ts'
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
    const root = await trustedRoot(
      ...['--fulcio', `url=${services.fulcioUrl},certificate-chain=${services.fulcioChain}`],
      ...['--tsa', `url=${services.timestampUrl},certificate-chain=${services.timestampChain}`],
      ...[
        '--rekor',
        `url=https://${services.rekorOrigin},public-key=${services.rekorKey},start-time=2024-01-01T00:00:00Z,origin=${services.rekorOrigin}`,
      ],
    )
    const authority: SigstoreAuthority = {
      kind: 'sigstore',
      name: 'own instance',
      trustedRoot: JSON.parse(await readFile(root, 'utf8')),
      identities: [{ issuer: services.issuer, subject: email }],
    }
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
