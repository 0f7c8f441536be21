import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ExecConfig } from './config.ts'
import { Credentials } from './credentials.ts'
import { ManualClock } from './testing/manual-clock.ts'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'credentials-'))
})

afterAll(() => rm(directory, { recursive: true }))

const server = 'https://192.0.2.1'

/** A plugin that is a line of JavaScript. */
function plugin(script: string, more: Partial<ExecConfig> = {}): ExecConfig {
  const apiVersion = 'client.authentication.k8s.io/v1'
  return { apiVersion, command: process.execPath, args: ['-e', script], env: {}, provideClusterInfo: false, ...more }
}

const credential = (status: string) => `{ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: ${status} }`

describe('Credentials', () => {
  it('reads a token file again after a minute, and at once after a 401', async () => {
    const tokenFile = path.join(directory, 'token')
    const clock = new ManualClock()
    const credentials = new Credentials({ server, user: { tokenFile } }, clock)
    await writeFile(tokenFile, 'first\n')
    expect((await credentials.current()).authorization).toBe('Bearer first')
    await writeFile(tokenFile, 'second')
    expect((await credentials.current()).authorization).toBe('Bearer first')
    await clock.advance(60_000)
    expect((await credentials.current()).authorization).toBe('Bearer second')
    await writeFile(tokenFile, 'third')
    expect(credentials.refresh()).toBe(true)
    expect((await credentials.current()).authorization).toBe('Bearer third')
  })

  it('has nothing to renew where everything is fixed', async () => {
    const credentials = new Credentials({ server, user: { username: 'a', password: 'b' } }, new ManualClock())
    expect((await credentials.current()).authorization).toBe(`Basic ${Buffer.from('a:b').toString('base64')}`)
    expect(credentials.refresh()).toBe(false)
  })

  it('says which file is missing', async () => {
    const credentials = new Credentials({ server, ca: { file: path.join(directory, 'none') } }, new ManualClock())
    await expect(credentials.current()).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining('none') as string })
  })

  it('asks an exec plugin, tells it what the kubeconfig wants, and asks again when its token ends', async () => {
    const log = path.join(directory, 'asked')
    const script = `
      const fs = require('node:fs'), info = JSON.parse(process.env.KUBERNETES_EXEC_INFO)
      fs.appendFileSync(process.env.LOG, JSON.stringify(info.spec.cluster) + ';')
      const token = 'asked-' + fs.readFileSync(process.env.LOG, 'utf8').split(';').length
      console.log(JSON.stringify(${credential("{ token, expirationTimestamp: '2026-01-02T03:14:05Z' }")}))`
    const clock = new ManualClock('2026-01-02T03:04:05Z')
    const exec = plugin(script, { env: { LOG: log }, provideClusterInfo: true })
    const credentials = new Credentials({ server, user: { exec } }, clock)
    const both = await Promise.all([credentials.current(), credentials.current()])
    expect(both.map(({ authorization }) => authorization)).toEqual(['Bearer asked-2', 'Bearer asked-2'])
    await clock.advance(300_000)
    expect((await credentials.current()).authorization).toBe('Bearer asked-2')
    await clock.advance(291_000)
    expect((await credentials.current()).authorization).toBe('Bearer asked-3')
  })

  it('takes a key pair from an exec plugin', async () => {
    const exec = plugin(`console.log(JSON.stringify(${credential("{ clientCertificateData: 'c', clientKeyData: 'k' }")}))`)
    expect(await new Credentials({ server, user: { exec } }, new ManualClock()).current()).toEqual({ certificate: 'c', key: 'k' })
  })

  it.each([
    ['fails', plugin('console.error("log in first"); process.exit(3)'), 'Unauthorized', /ended with 3: log in first/],
    ['talks nonsense', plugin('console.log("hello")'), 'Unauthorized', /no ExecCredential/],
    ['gives nothing', plugin(`console.log(JSON.stringify(${credential('{}')}))`), 'Unauthorized', /neither a token nor a key pair/],
    [
      'prints without end',
      plugin('const go = () => process.stdout.write("x".repeat(65536), go); go()'),
      'Unauthorized',
      /printed too much/,
    ],
    ['is not installed', plugin('', { command: 'no-such-plugin', installHint: 'Get it.' }), 'Config', /Get it\./],
  ])('says what is wrong when a plugin %s', async (_, exec, code, message) => {
    const asked = new Credentials({ server, user: { exec } }, new ManualClock()).current()
    await expect(asked).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
  })
})
