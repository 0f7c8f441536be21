import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KubeError } from './error.ts'
import { loadKubeconfig, parseKubeconfig } from './kubeconfig.ts'

const pem = '-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n'
const encoded = Buffer.from(pem).toString('base64')

/** A kubeconfig with one cluster and one user; JSON is YAML. */
function kubeconfig(user: object, cluster: object = {}, context: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [
      { name: 'here', context: { cluster: 'c', user: 'u', ...context } },
      { name: 'there', context: { cluster: 'other' } },
    ],
    clusters: [
      { name: 'c', cluster: { server: 'https://192.0.2.1:6443', ...cluster } },
      { name: 'other', cluster: { server: 'https://other.example' } },
    ],
    users: [{ name: 'u', user }],
  })
}

const parse = (user: object, cluster?: object, context?: object) =>
  parseKubeconfig(kubeconfig(user, cluster, context), { baseDir: '/base' })
const config = expect.objectContaining({ code: 'Config' }) as Error

describe('parseKubeconfig', () => {
  it('takes embedded certificates', () => {
    expect(parse({ 'client-certificate-data': encoded, 'client-key-data': encoded }, { 'certificate-authority-data': encoded })).toEqual({
      server: 'https://192.0.2.1:6443',
      ca: { pem },
      user: { certificate: { pem }, key: { pem } },
    })
  })

  it('finds named files beside the kubeconfig', () => {
    const files = { 'client-certificate': 'pki/a.crt', 'client-key': '/abs/a.key', tokenFile: 'token' }
    expect(parse(files, { 'certificate-authority': 'ca.crt' })).toMatchObject({
      ca: { file: '/base/ca.crt' },
      user: { certificate: { file: '/base/pki/a.crt' }, key: { file: '/abs/a.key' }, tokenFile: '/base/token' },
    })
  })

  it('takes tokens, passwords, names, proxies and impersonation', () => {
    expect(
      parse(
        { token: 't', as: 'jane', 'as-uid': '1', 'as-groups': ['dev'], 'as-user-extra': { reason: ['test'] } },
        { 'tls-server-name': 'api', 'proxy-url': 'http://proxy.example:3128', 'insecure-skip-tls-verify': true },
        { namespace: 'team' },
      ),
    ).toEqual({
      server: 'https://192.0.2.1:6443',
      namespace: 'team',
      serverName: 'api',
      proxyUrl: 'http://proxy.example:3128/',
      insecureSkipTlsVerify: true,
      user: { token: 't' },
      impersonate: { user: 'jane', uid: '1', groups: ['dev'], extra: { reason: ['test'] } },
    })
    expect(parse({ username: 'a', password: 'b' }).user).toEqual({ username: 'a', password: 'b' })
  })

  it('takes an exec plugin with its own environment over the inherited one', () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './bin/login',
      args: ['token'],
      env: [{ name: 'REGION', value: 'here' }],
      installHint: 'Install it.',
      provideClusterInfo: true,
    }
    const text = kubeconfig({ exec })
    expect(parseKubeconfig(text, { baseDir: '/base', env: { PATH: '/bin', REGION: 'there' } }).user?.exec).toEqual({
      apiVersion: 'client.authentication.k8s.io/v1',
      command: '/base/bin/login',
      args: ['token'],
      env: { PATH: '/bin', REGION: 'here' },
      installHint: 'Install it.',
      provideClusterInfo: true,
    })
  })

  it('uses the context that is asked for', () => {
    expect(parseKubeconfig(kubeconfig({}), { context: 'there' }).server).toBe('https://other.example')
    expect(() => parseKubeconfig(kubeconfig({}), { context: 'nowhere' })).toThrow(/no context "nowhere"; it has "here", "there"/)
  })

  it.each([
    ['half a key pair', { 'client-key': 'a' }, {}],
    ['data that is not PEM', { 'client-key-data': 'AAAA', 'client-certificate-data': encoded }, {}],
    ['a removed auth-provider', { 'auth-provider': { name: 'gcp' } }, {}],
    ['a plugin of an unknown version', { exec: { apiVersion: 'client.authentication.k8s.io/v1alpha1', command: 'x' } }, {}],
    ['no server', {}, { server: '' }],
    ['a server that is no web address', {}, { server: 'ftp://x' }],
    ['a CA and no verification at once', {}, { 'certificate-authority': 'a', 'insecure-skip-tls-verify': true }],
    ['a socks proxy', {}, { 'proxy-url': 'socks5://x' }],
    ['a token that is no text', { token: 5 }, {}],
  ])('refuses %s', (_, user, cluster) => {
    expect(() => parse(user, cluster)).toThrow(config)
  })

  it('refuses what is no kubeconfig, without repeating what may be secret', () => {
    expect(() => parseKubeconfig('token: [s3cret')).toThrow(config)
    try {
      parseKubeconfig('token: [s3cret')
    } catch (error) {
      expect(JSON.stringify([String(error), error])).not.toContain('s3cret')
    }
    for (const text of ['', '[]', 'a: 1']) expect(() => parseKubeconfig(text)).toThrow(config)
  })

  it('gives a configuration or a Config error, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseKubeconfig(text)
        } catch (error) {
          expect(error).toBeInstanceOf(KubeError)
          expect((error as KubeError).code).toBe('Config')
        }
      }),
    )
  })
})

describe('loadKubeconfig', () => {
  it('reads a file, with its folder as the base', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'kubeconfig-'))
    const file = path.join(directory, 'config')
    await writeFile(file, kubeconfig({ tokenFile: 'token' }))
    expect((await loadKubeconfig(file)).user?.tokenFile).toBe(path.join(directory, 'token'))
    await rm(directory, { recursive: true })
    await expect(loadKubeconfig(file)).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining(file) as string })
  })
})
