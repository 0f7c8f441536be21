import { describe, expect, it } from 'vitest'
import { type Files, readSettings } from './settings.ts'

const env = { MUSTER_SECRETS: '/secrets', MUSTER_NAMESPACE: 'muster-system', MUSTER_TRUST_DOMAIN: 'example.test' }
const mounted: Record<string, string> = {
  'muster-hub-tls/tls.crt': 'tls certificate',
  'muster-hub-tls/tls.key': 'tls key',
  'muster-hub-ca/ca.crt': 'authority certificate',
  'muster-hub-ca/ca.key': 'authority key',
  'muster-hub-channel/channel.key': 'channel key',
  'muster-hub-channel/root.json': 'root 11',
  'muster-hub-channel/10.root.json': 'root 10',
  'muster-hub-channel/9.root.json': 'root 9',
  'muster-registry/host': 'registry.example:5000\n',
  'muster-registry/ca.crt': 'registry authority',
  'muster-registry/writer-username': 'writer',
  'muster-registry/writer-password': 'w',
  'muster-registry/reader-username': 'reader',
  'muster-registry/reader-password': 'r',
}

const files = (content: Record<string, string>): Files => ({
  read: async (file) => content[file.replace('/secrets/', '')],
  list: async (folder) =>
    Object.keys(content).flatMap((file) => (`/secrets/${file}`.startsWith(`${folder}/`) ? [file.split('/')[1] ?? ''] : [])),
})

describe('settings', () => {
  it('come from the environment and the mounted Secrets, with all roots in order', async () => {
    expect(await readSettings(env, files(mounted))).toMatchObject({
      namespace: 'muster-system',
      trustDomain: 'example.test',
      listen: { host: '0.0.0.0', port: 8443 },
      roots: ['root 9', 'root 10', 'root 11'],
      registry: { host: 'registry.example:5000', username: 'writer' },
      reader: { username: 'reader', password: 'r' },
    })
  })

  it('take the life of identities in days, and other authorities to trust; both may be left out', async () => {
    expect(await readSettings(env, files(mounted))).toMatchObject({ timings: {} })
    const told = { ...env, MUSTER_IDENTITY_DAYS: '0.5', MUSTER_RENEW_GRACE_DAYS: '14' }
    const more = files({ ...mounted, 'muster-hub-ca/others.crt': 'the one before' })
    expect(await readSettings(told, more)).toMatchObject({
      timings: { identityDays: 0.5, renewGraceDays: 14 },
      otherAuthorities: 'the one before',
    })
    for (const name of ['MUSTER_IDENTITY_DAYS', 'MUSTER_RENEW_GRACE_DAYS'])
      for (const value of ['0', '-1', 'x', '1e9', 'Infinity'])
        await expect(readSettings({ ...env, [name]: value }, files(mounted))).rejects.toThrow(name)
  })

  it('that lack anything are refused, and it is said what is missing', async () => {
    for (const name of Object.keys(env))
      await expect(readSettings({ ...env, [name]: undefined }, files(mounted))).rejects.toThrow(
        expect.objectContaining({ code: 'SettingsInvalid', message: expect.stringContaining(name) }),
      )
    for (const file of Object.keys(mounted).filter((name) => !/\d\.root/.test(name)))
      await expect(readSettings(env, files({ ...mounted, [file]: '' }))).rejects.toThrow(
        expect.objectContaining({ code: 'SettingsInvalid', message: expect.stringContaining(file.split('/')[1] ?? '') }),
      )
    for (const MUSTER_PORT of ['x', '70000', '-1', '1.5'])
      await expect(readSettings({ ...env, MUSTER_PORT }, files(mounted))).rejects.toThrow(/MUSTER_PORT/)
  })
})
