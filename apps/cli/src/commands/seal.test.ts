import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createSealingKey, type PrivateSealingKey, publicHalf, unseal } from '@muster/seal'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runHere } from '../testing/run.ts'

const secret = 's3cret value'
let dir: string
let key: PrivateSealingKey
const file = (name: string) => path.join(dir, name)
const seal = (...args: string[]) => runHere('seal', 'password', '--cluster', 'alpha', '--release', 'shop', ...args)

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-seal-'))
  key = await createSealingKey()
  await writeFile(file('alpha.jwk'), JSON.stringify(publicHalf(key)))
  await writeFile(file('value'), secret)
  await writeFile(file('line'), `${secret}\n`)
  await writeFile(file('bytes'), Buffer.from([0xff, 0xfe, 0x00]))
  await writeFile(file('large'), 'x'.repeat(70_000))
})

afterAll(() => rm(dir, { recursive: true, force: true }))

describe('muster seal', () => {
  it('needs no hub where the key is given and the value printed, and prints nothing of the value', async () => {
    const { code, out, err } = await seal('--key', file('alpha.jwk'), '--from-file', file('value'), '--print')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).not.toContain(secret)
    expect(await unseal(out.trim(), { cluster: 'alpha', release: 'shop', parameter: 'password' }, [key])).toBe(secret)
  })

  it('seals byte for byte, and says where a line break is sealed too', async () => {
    const { out, err } = await seal('--key', file('alpha.jwk'), '--from-file', file('line'), '--print')
    expect(err).toContain('ends with a line break')
    expect(await unseal(out.trim(), { cluster: 'alpha', release: 'shop', parameter: 'password' }, [key])).toBe(`${secret}\n`)
  })

  it.each([
    ['what is no text', 'bytes', 1, 'base64'],
    ['what is too long', 'large', 2, 'larger than 65536 bytes'],
    ['a file that is not there', 'absent', 2, 'there is no such file'],
  ])('refuses %s', async (_, name, failed, why) => {
    const { code, out, err } = await seal('--key', file('alpha.jwk'), '--from-file', file(name), '--print')
    expect({ code, out }).toEqual({ code: failed, out: '' })
    expect(err).toContain(why)
  })

  it('refuses a key whose name is not its own, and what is no key', async () => {
    await writeFile(file('swapped.jwk'), JSON.stringify({ ...publicHalf(await createSealingKey()), kid: key.kid }))
    expect(await seal('--key', file('swapped.jwk'), '--from-file', file('value'), '--print')).toMatchObject({ code: 3, out: '' })
    expect(await seal('--key', file('value'), '--from-file', file('value'), '--print')).toMatchObject({ code: 1, out: '' })
  })

  it('says what is missing before anything is typed', async () => {
    expect((await runHere('seal', 'password', '--cluster', 'alpha')).code).toBe(2)
    expect((await runHere('seal', 'password', '--release', 'shop')).code).toBe(2)
    expect((await runHere('seal', 'password', '--cluster', 'alpha', '--rotate')).code).toBe(2)
    expect((await runHere('seal', '--cluster', 'alpha', '--rotate', '--show-key')).code).toBe(2)
    expect((await seal('--remove', '--from-file', file('value'))).code).toBe(2)
    expect((await runHere('seal', 'password', '--cluster', 'Alpha', '--release', 'shop')).code).toBe(2)
  })
})
