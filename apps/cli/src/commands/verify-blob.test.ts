import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contextOf } from '../context.ts'
import { exitCodeOf } from '../errors.ts'
import { registerVerifyBlob } from '../registration/verify-blob.ts'

const fixtures = fileURLToPath(new URL('../../../../packages/trust/src/sigstore/fixtures/', import.meta.url))
const bundle = path.join(fixtures, 'npm-provenance.sigstore.json')
const trustedRoot = path.join(fixtures, 'public-good-trusted-root.json')
const workflow = 'https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main'
const oidc = 'https://token.actions.githubusercontent.com'
const published =
  'sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-verify-blob-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Types a command: its exit code, and what it printed. */
async function typed(...args: readonly string[]): Promise<{ code: number; said: string }> {
  const stdout = new PassThrough()
  const context = contextOf({ environment: {}, signal: new AbortController().signal, stdout, stderr: new PassThrough() }, {})
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined })
  const verify = program.command('verify')
  registerVerifyBlob(verify, () => context)
  for (const command of [verify, ...verify.commands]) command.exitOverride().configureOutput({ writeErr: () => undefined })
  try {
    await program.parseAsync(['verify', 'blob', ...args], { from: 'user' })
    return { code: 0, said: String(stdout.read() ?? '') }
  } catch (error) {
    return { code: exitCodeOf(error), said: error instanceof Error ? error.message : '' }
  }
}

const npm = ['--bundle', bundle, '--trusted-root', trustedRoot]
const signer = ['--certificate-identity', workflow, '--certificate-oidc-issuer', oidc]

describe('muster verify blob', { timeout: 60_000 }, () => {
  it('says who signed, for whom, and when: exit code 0', async () => {
    const outcome = await typed(published, ...npm, ...signer)
    expect(outcome).toEqual({
      code: 0,
      said: expect.stringContaining(`signed by ${workflow}, vouched for by ${oidc}, by 2023-08-18T16:05:35.000Z.`),
    })
  })

  it('says it to machines too, and takes patterns', async () => {
    const patterns = [
      '--certificate-identity-regexp',
      'https://github\\.com/sigstore/.*',
      '--certificate-oidc-issuer-regexp',
      'https://token\\..*',
    ]
    const { code, said } = await typed(published, ...npm, ...patterns, '-o', 'json')
    expect([code, JSON.parse(said)]).toEqual([0, expect.objectContaining({ identity: workflow, issuer: oidc, digest: published })])
  })

  it('refuses another file, another signer and an untrusted root: exit code 3', async () => {
    const other = path.join(dir, 'other')
    await writeFile(other, 'other')
    expect((await typed(other, ...npm, ...signer)).code).toBe(3)
    expect((await typed(published, ...npm, '--certificate-identity', 'me', '--certificate-oidc-issuer', oidc)).code).toBe(3)
    await writeFile(
      path.join(dir, 'empty.json'),
      JSON.stringify({ mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' }),
    )
    expect((await typed(published, '--bundle', bundle, '--trusted-root', path.join(dir, 'empty.json'), ...signer)).code).toBe(3)
    expect((await typed(published, '--bundle', trustedRoot, '--trusted-root', trustedRoot, ...signer)).code).toBe(3)
  })

  it.each([
    ['no one to trust', ['--bundle', bundle]],
    ['no signer', npm],
    ['no issuer', [...npm, '--certificate-identity', workflow]],
    ['no bundle', ['--trusted-root', trustedRoot, ...signer]],
    ['a key and a certificate', ['--bundle', bundle, '--key', bundle, ...signer]],
    ['a trusted root that is none', ['--bundle', bundle, '--trusted-root', bundle, ...signer]],
    ['a key that is none', ['--bundle', bundle, '--key', bundle]],
    ['a pattern that is none', [...npm, '--certificate-identity-regexp', '(', '--certificate-oidc-issuer', oidc]],
    ['a threshold that is none', [...npm, ...signer, '--tlog-threshold', 'many']],
  ])('with %s is wrong usage: exit code 2', async (_what, args) => {
    expect((await typed(published, ...args)).code).toBe(2)
  })

  it('takes a large file, and notices that a byte of it is missing', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const [file, key, own] = ['large', 'key.pub', 'large.sigstore.json'].map((name) => path.join(dir, name)) as [string, string, string]
    const size = 64 * 1024 * 1024
    await writeFile(file, '')
    await truncate(file, size)
    await writeFile(key, publicKey.export({ type: 'spki', format: 'pem' }))
    const content = Buffer.alloc(size)
    await writeFile(
      own,
      JSON.stringify({
        mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        verificationMaterial: { publicKey: { hint: '' } },
        messageSignature: {
          messageDigest: { algorithm: 'SHA2_256', digest: createHash('sha256').update(content).digest('base64') },
          signature: sign('sha256', content, privateKey).toString('base64'),
        },
      }),
    )
    expect(await typed(file, '--bundle', own, '--key', key)).toMatchObject({ code: 0 })
    await truncate(file, size - 1)
    expect(await typed(file, '--bundle', own, '--key', key)).toMatchObject({ code: 3 })
  })
})
