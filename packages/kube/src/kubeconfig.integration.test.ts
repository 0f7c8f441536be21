import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KubeClient } from './client.ts'
import { systemClock } from './clock.ts'
import { inClusterConfig } from './in-cluster.ts'
import { loadKubeconfig } from './kubeconfig.ts'
import { openProxy } from './testing/gate.ts'
import { type OwnServer, openOwnServer } from './testing/own-server.ts'

let server: OwnServer

beforeAll(async () => {
  server = await openOwnServer()
})

afterAll(() => server?.dispose())

const base64 = (text: string) => Buffer.from(text).toString('base64')

let files = 0

/** Writes a file of the test's own and gives its path. */
async function file(text: string, name = `file-${files++}`): Promise<string> {
  const target = path.join(server.directory, name)
  await writeFile(target, text, { mode: 0o600 })
  return target
}

/** The text of a kubeconfig with one user. JSON is YAML. */
function kubeconfigText(user: object, cluster: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    clusters: [{ name: 'test', cluster: { server: server.url, 'certificate-authority-data': base64(server.ca), ...cluster } }],
    users: [{ name: 'test', user }],
  })
}

interface Who {
  readonly username: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** Who the client is, as the server sees it. */
async function whoIs(client: KubeClient): Promise<Who> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: {} }
  const answer = await client.raw('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body })
  return (answer as { status: { userInfo: Who } }).status.userInfo
}

/** Who a kubeconfig makes of its reader. */
async function whoBy(user: object, cluster: object = {}): Promise<Who> {
  const client = new KubeClient(await loadKubeconfig(await file(kubeconfigText(user, cluster))))
  try {
    return await whoIs(client)
  } finally {
    client.close()
  }
}

/** A token of a service account; each one is another. */
async function tokenOf(name: string): Promise<string> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } }
  await server.client.apply(account)
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const answer = await server.client.raw('POST', `/api/v1/namespaces/default/serviceaccounts/${name}/token`, { body })
  return (answer as { status: { token: string } }).status.token
}

/** What tells one token from another. */
const tokenId = (who: Who) => who.extra?.['authentication.kubernetes.io/credential-id']?.[0]

const robot = 'system:serviceaccount:default:robot'

describe('a real API server knows who comes with a kubeconfig of', () => {
  it('a client certificate, embedded or in files beside it', async () => {
    const { certificate, privateKey } = await server.issue({ commonName: 'jane', organizations: ['dev'] })
    const jane = { username: 'jane', groups: ['dev', 'system:authenticated'] }
    expect(await whoBy({ 'client-certificate-data': base64(certificate), 'client-key-data': base64(privateKey) })).toMatchObject(jane)
    await file(certificate, 'jane.crt')
    await file(privateKey, 'jane.key')
    await file(server.ca, 'authority.crt')
    const cluster = { 'certificate-authority-data': undefined, 'certificate-authority': 'authority.crt' }
    expect(await whoBy({ 'client-certificate': 'jane.crt', 'client-key': 'jane.key' }, cluster)).toMatchObject(jane)
  })

  it('a token, or a file with one, which wins', async () => {
    const token = await tokenOf('robot')
    expect((await whoBy({ token })).username).toBe(robot)
    expect((await whoBy({ token: 'wrong', tokenFile: await file(`${token}\n`) })).username).toBe(robot)
  })

  it('an exec plugin that gives a token or a key pair', async () => {
    const { certificate, privateKey } = await server.issue({ commonName: 'from-plugin' })
    const given = [
      [{ token: await tokenOf('robot') }, robot],
      [{ clientCertificateData: certificate, clientKeyData: privateKey }, 'from-plugin'],
    ] as const
    for (const [status, username] of given) {
      const credential = JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status })
      const plugin = await file(`#!${process.execPath}\nif (process.env.MODE === 'login') console.log(${JSON.stringify(credential)})\n`)
      await chmod(plugin, 0o700)
      const exec = {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: `./${path.basename(plugin)}`,
        interactiveMode: 'Never',
        env: [{ name: 'MODE', value: 'login' }],
      }
      expect((await whoBy({ exec })).username).toBe(username)
    }
  })

  it('somebody who acts as another', async () => {
    const user = {
      'client-certificate-data': base64(server.admin.certificate),
      'client-key-data': base64(server.admin.privateKey),
      as: 'jane',
      'as-groups': ['dev', 'ops'],
      'as-user-extra': { 'example.dev/reason': ['on call'] },
    }
    const groups = ['dev', 'ops', 'system:authenticated']
    expect(await whoBy(user)).toMatchObject({ username: 'jane', groups, extra: { 'example.dev/reason': ['on call'] } })
  })

  it('a name for the server that is not in its address, and a proxy on the way', async () => {
    const user = { token: await tokenOf('robot') }
    const proxy = await openProxy()
    const way = { 'proxy-url': `http://127.0.0.1:${proxy.port}`, 'tls-server-name': 'localhost' }
    expect((await whoBy(user, way)).username).toBe(robot)
    expect(proxy.opened).toBe(1)
    await proxy.close()
    await expect(whoBy(user, { 'tls-server-name': 'another.example' })).rejects.toMatchObject({ code: 'Unreachable', transient: false })
  })

  it('a pod: the files of its service account and its environment', async () => {
    const directory = path.join(server.directory, 'serviceaccount')
    await mkdir(directory)
    await file(await tokenOf('robot'), 'serviceaccount/token')
    await file(server.ca, 'serviceaccount/ca.crt')
    await file('default', 'serviceaccount/namespace')
    const { hostname, port } = new URL(server.url)
    const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
    const client = new KubeClient(await inClusterConfig({ env, directory }))
    expect([(await whoIs(client)).username, client.namespace]).toEqual([robot, 'default'])
    client.close()
  })

  it('nobody whom it knows', async () => {
    await expect(whoBy({ token: 'wrong' })).rejects.toMatchObject({ code: 'Unauthorized', transient: false })
    await expect(whoBy({ username: 'jane', password: 'secret' })).rejects.toMatchObject({ code: 'Unauthorized' })
  })
})

describe('what is renewed under a client of a real API server', () => {
  it('a token file is read again after a minute', async () => {
    const tokenFile = await file(await tokenOf('robot'))
    let later = 0
    const clock = { ...systemClock, now: () => systemClock.now() + later }
    const client = new KubeClient(await loadKubeconfig(await file(kubeconfigText({ tokenFile }))), { clock })
    const first = tokenId(await whoIs(client))
    await writeFile(tokenFile, await tokenOf('robot'))
    expect([first, tokenId(await whoIs(client))]).toEqual([expect.stringContaining('JTI='), first])
    later = 61_000
    expect(tokenId(await whoIs(client))).not.toBe(first)
    client.close()
  })

  it('a client certificate that has run out is replaced by the one in its files, without an error', async () => {
    const short = await server.issue({ commonName: 'short', days: 8 / 86_400 })
    const certificate = await file(short.certificate)
    const key = await file(short.privateKey)
    const client = new KubeClient(
      await loadKubeconfig(await file(kubeconfigText({ 'client-certificate': certificate, 'client-key': key }))),
    )
    expect((await whoIs(client)).username).toBe('short')
    const next = await server.issue({ commonName: 'next' })
    await writeFile(key, next.privateKey)
    await writeFile(certificate, next.certificate)
    const embedded = { 'client-certificate-data': base64(short.certificate), 'client-key-data': base64(short.privateKey) }
    await vi.waitFor(() => expect(whoBy(embedded)).rejects.toMatchObject({ code: 'Unauthorized' }), { timeout: 60_000, interval: 200 })
    expect((await whoIs(client)).username).toBe('next')
    client.close()
  })

  it('files of which one is renewed and the other not yet are not used; what was good goes on', async () => {
    const old = await server.issue({ commonName: 'old' })
    const next = await server.issue({ commonName: 'next' })
    const certificate = await file(old.certificate)
    const key = await file(old.privateKey)
    let later = 0
    const clock = { ...systemClock, now: () => systemClock.now() + later }
    const config = await loadKubeconfig(await file(kubeconfigText({ 'client-certificate': certificate, 'client-key': key })))
    const client = new KubeClient(config, { clock })
    expect((await whoIs(client)).username).toBe('old')
    await writeFile(certificate, next.certificate)
    later = 61_000
    expect((await whoIs(client)).username).toBe('old')
    await writeFile(key, next.privateKey)
    expect((await whoIs(client)).username).toBe('next')
    client.close()
  })

  it('requests that are under way with the old certificate end well', async () => {
    const old = await server.issue({ commonName: 'old', organizations: ['system:masters'] })
    const next = await server.issue({ commonName: 'next', organizations: ['system:masters'] })
    const { proxy, config } = await server.faulty()
    const certificate = await file(old.certificate)
    const key = await file(old.privateKey)
    let later = 0
    const clock = { ...systemClock, now: () => systemClock.now() + later }
    const client = new KubeClient({ ...config, user: { certificate: { file: certificate }, key: { file: key } } }, { clock })
    await client.version()
    const held = Promise.withResolvers<undefined>()
    proxy.fault = ({ method, path }) => (method === 'POST' && path.includes('/configmaps') ? held.promise : undefined)
    const slow = client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'slow', namespace: 'default' } })
    await vi.waitFor(() => expect(proxy.requests.some(({ method }) => method === 'POST')).toBe(true), { timeout: 10_000 })
    await writeFile(key, next.privateKey)
    await writeFile(certificate, next.certificate)
    later = 61_000
    await client.version()
    held.resolve(undefined)
    expect((await slow).metadata.name).toBe('slow')
    client.close()
    await proxy.close()
  })

  it('a kubeconfig that somebody rewrote is read again when the server refuses what is known', async () => {
    const kubeconfig = await file(kubeconfigText({ token: 'wrong' }))
    const client = new KubeClient(await loadKubeconfig(kubeconfig), { reread: () => loadKubeconfig(kubeconfig) })
    await expect(whoIs(client)).rejects.toMatchObject({ code: 'Unauthorized' })
    await writeFile(kubeconfig, kubeconfigText({ token: await tokenOf('robot') }))
    expect((await whoIs(client)).username).toBe(robot)
    client.close()
  })

  it("the server's certificate changes, even to another authority's: trusted as soon as that is in the CA file", async () => {
    const ca = await file(server.ca)
    const user = { certificate: { pem: server.admin.certificate }, key: { pem: server.admin.privateKey } }
    const client = new KubeClient({ server: server.url, ca: { file: ca }, user })
    // each watch is a new connection
    const connect = () => client.watch({ apiVersion: 'v1', kind: 'Namespace' }).next()
    const replace = async (by: Pick<OwnServer, 'issue'>) => {
      const shown = await server.shownCertificate()
      await server.replaceServingCertificate(await by.issue({ commonName: 'renewed', addresses: ['127.0.0.1'], usages: ['server'] }))
      // the server looks at its files now and then
      await vi.waitFor(async () => expect(await server.shownCertificate()).not.toBe(shown), { timeout: 90_000, interval: 200 })
    }
    await connect()
    await replace(server)
    await connect()
    const other = await server.anotherAuthority()
    await replace(other)
    await expect(connect()).rejects.toMatchObject({ code: 'Unreachable', transient: false })
    await writeFile(ca, server.ca + other.ca)
    expect((await connect()).value).toMatchObject({ type: 'ADDED' })
    client.close()
  })
})
