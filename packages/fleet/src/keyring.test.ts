import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { signRoot } from '@muster/trust'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hubCertificate, openKeyring } from './keyring.ts'

const now = new Date('2026-01-01T00:00:00Z')
let dir: string

beforeEach(async () => {
  dir = path.join(await mkdtemp(path.join(tmpdir(), 'muster-keyring-')), 'keys')
})
afterEach(async () => {
  await rm(path.dirname(dir), { recursive: true, force: true })
})

describe('a keyring', () => {
  it('is made once: opened again, it holds the same keys and the same trust root', async () => {
    expect(await openKeyring(dir, now)).toEqual(await openKeyring(dir, new Date('2026-06-01T00:00:00Z')))
  })

  it('has a trust root that can be read as one, and that holds no private key', async () => {
    const { trustRoot } = await openKeyring(dir, now)
    expect(Buffer.from(signRoot(trustRoot, [])).toString()).toBe(trustRoot)
    expect(trustRoot).not.toContain('PRIVATE')
  })

  it('is readable by its owner only, and offers the public keys as files', async () => {
    const keyring = await openKeyring(dir, now)
    expect((await stat(dir)).mode & 0o777).toBe(0o700)
    expect((await stat(path.join(dir, 'publisher.keys.json'))).mode & 0o777).toBe(0o600)
    expect(await readFile(path.join(dir, 'publisher.pub'), 'utf8')).toBe(keyring.publisher.publicKey)
  })

  it('with a damaged file is refused, and nothing is made in its place', async () => {
    await openKeyring(dir, now)
    const file = path.join(dir, 'channel.keys.json')
    await writeFile(file, '{"publicKey":')
    await expect(openKeyring(dir, now)).rejects.toMatchObject({ code: 'KeysDamaged' })
    expect(await readFile(file, 'utf8')).toBe('{"publicKey":')
  })

  it("keeps the hub's certificate until its address changes or its life ends", async () => {
    const { hubAuthority } = await openKeyring(dir, now)
    const first = await hubCertificate(dir, hubAuthority, ['10.0.0.1'], now)
    expect(await hubCertificate(dir, hubAuthority, ['10.0.0.1'], now)).toEqual(first)
    const moved = await hubCertificate(dir, hubAuthority, ['10.0.0.2'], now)
    expect(moved).not.toEqual(first)
    expect(await hubCertificate(dir, hubAuthority, ['10.0.0.2'], new Date('2026-12-01T00:00:00Z'))).not.toEqual(moved)
  })
})
