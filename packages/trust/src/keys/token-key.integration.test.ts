import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { debianPeer, peerMs } from '../../../../test/peers/peers.ts'
import { kindOf, readPublicKey, verifyBytes } from './keys.ts'
import { openSignatureKey } from './open-key.ts'

const architectures: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const pin = '4321'

let dir: string
let env: Record<string, string | undefined>
let module: string

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-token-'))
  const libraries = `usr/lib/${architectures[process.arch] ?? process.arch}`
  const tool = await debianPeer('opensc', 'usr/bin/pkcs11-tool')
  const library = await debianPeer('opensc-pkcs11', `${libraries}/libopensc.so.8`)
  module = await debianPeer('libsofthsm2', 'usr/lib/softhsm/libsofthsm2.so')
  await mkdir(path.join(dir, 'tokens'))
  await writeFile(path.join(dir, 'softhsm2.conf'), `directories.tokendir = ${dir}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`)
  env = {
    ...process.env,
    PATH: `${path.dirname(tool)}:${process.env['PATH']}`,
    LD_LIBRARY_PATH: path.dirname(library),
    SOFTHSM2_CONF: path.join(dir, 'softhsm2.conf'),
    SO_PIN: '12345678',
    USER_PIN: pin,
  }
  await token('--init-token', '--label', 'the team', '--so-pin', 'env:SO_PIN')
  await token(
    '--token-label',
    'the team',
    '--login',
    '--login-type',
    'so',
    '--so-pin',
    'env:SO_PIN',
    '--init-pin',
    '--new-pin',
    'env:USER_PIN',
  )
  for (const [id, label, type] of [
    ['01', 'signer', 'EC:prime256v1'],
    ['02', 'larger', 'EC:secp384r1'],
    ['03', 'rsa', 'rsa:3072'],
    ['04', 'odd', 'EC:secp256k1'],
  ] as const)
    await token(
      '--token-label',
      'the team',
      '--login',
      '--pin',
      'env:USER_PIN',
      '--keypairgen',
      '--key-type',
      type,
      '--label',
      label,
      '--id',
      id,
    )
}, peerMs)

afterAll(() => rm(dir, { recursive: true, force: true }))

async function token(...args: string[]): Promise<void> {
  const { code, stderr } = await run('pkcs11-tool', ['--module', module, ...args], { env })
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0)
}

const uri = (key: string): string => `pkcs11:token=the%20team;${key}?module-path=${module}`
const open = (key: string, secret = pin) => openSignatureKey(uri(key), { env, passphrase: async () => secret })

describe('a key in a token', () => {
  it.each([
    ['object=signer', 'prime256v1'],
    ['id=%01', 'prime256v1'],
    ['object=larger', 'secp384r1'],
    ['object=rsa', 'rsa'],
  ])('by %s signs as one in a file does', async (key, kind) => {
    const opened = await open(key)
    const data = Buffer.from('data')
    expect(kindOf(readPublicKey(opened.publicKey))).toBe(kind)
    expect(verifyBytes(data, opened.publicKey, await opened.sign(data))).toBe(true)
  })

  it('signs with the PIN from a file that the URI names', async () => {
    await writeFile(path.join(dir, 'pin'), `${pin}\n`, { mode: 0o600 })
    const opened = await openSignatureKey(`${uri('object=signer')}&pin-source=file:${dir}/pin`, { env })
    expect(verifyBytes(Buffer.from('x'), opened.publicKey, await opened.sign(Buffer.from('x')))).toBe(true)
  })

  it('does not sign with a wrong PIN, and says so', async () => {
    const opened = await open('object=signer', '0000')
    await expect(opened.sign(Buffer.from('x'))).rejects.toThrow(
      expect.objectContaining({ code: 'KeyProvider', message: expect.stringContaining('Check the PIN') }),
    )
  })

  it('that is not there, or on an odd curve, is refused by name: never another key in its place', async () => {
    await expect(open('object=nobody')).rejects.toThrow(
      expect.objectContaining({ code: 'KeyUnreadable', message: expect.stringContaining('nobody') }),
    )
    await expect(open('object=odd')).rejects.toThrow(
      expect.objectContaining({ code: 'KeyNotAllowed', message: expect.stringContaining('secp256k1') }),
    )
    await expect(openSignatureKey(`pkcs11:token=other;object=signer?module-path=${module}`, { env })).rejects.toThrow(
      expect.objectContaining({ code: 'KeyProvider' }),
    )
  })

  it('without the tool says which program to install', async () => {
    await expect(openSignatureKey(uri('object=signer'), { env: { PATH: '/nonexistent' } })).rejects.toThrow(/opensc/)
  })
})
