import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pushArtifact, Registry, serveRegistry } from '@muster/oci'
import { createAuthority, issueCertificate } from '@muster/pki'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runWith } from '../testing/run.ts'
import { neededBy } from './registry-retain.ts'

const user = (username: string) => ({ username, password: `${username}-password` })
const [writer, reader, admin] = [user('writer'), user('reader'), user('admin')]

/** An instance that has a registry, and nothing else. */
async function instance() {
  const state = await mkdtemp(path.join(tmpdir(), 'muster-cli-'))
  onTestFinished(() => rm(state, { recursive: true, force: true }))
  const now = new Date()
  const authority = await createAuthority('test', { days: 1, now })
  const tls = await issueCertificate(authority, { commonName: 'registry', addresses: ['127.0.0.1'], usages: ['server'], days: 1, now })
  const serve = (port: number, mirrors: { name: string; direction: 'push'; registry: string; repositories: string[] }[] = []) =>
    serveRegistry({
      root: path.join(state, 'data'),
      listen: { host: '127.0.0.1', port },
      tls: { cert: tls.certificate, key: tls.privateKey },
      users: [
        { name: writer.username, password: writer.password, access: 'write' },
        { name: reader.username, password: reader.password, access: 'read' },
        { name: admin.username, password: admin.password, access: 'admin' },
      ],
      quotas: [{ repositories: 'team/**', bytes: 10 * 1024 ** 2 }],
      mirrors,
      graceMs: 100,
    })
  // It mirrors to a registry that is not there.
  const server = await serve(0, [{ name: 'away', direction: 'push', registry: '127.0.0.1:1', repositories: ['none'] }])
  onTestFinished(() => server.close())
  const host = `127.0.0.1:${server.port}`
  await mkdir(path.join(state, 'registry'))
  await writeFile(path.join(state, 'registry', 'access.json'), JSON.stringify({ host, ca: authority.certificate, writer, reader, admin }))
  const client = (credentials: { username: string; password: string }) => {
    const registry = new Registry({ host, ca: authority.certificate, credentials })
    onTestFinished(() => registry.close())
    return registry
  }
  return { state, client, muster: (...args: string[]) => runWith({ MUSTER_STATE: state }, 'registry', ...args) }
}

const layer = (text: string) => ({
  artifactType: 'application/vnd.example',
  layers: [{ mediaType: 'text/plain', bytes: Buffer.from(text) }],
})

describe('muster registry', { timeout: 30_000 }, () => {
  it('shows what takes room, collects garbage, and says who changed what', async () => {
    const { client, muster } = await instance()
    await pushArtifact(client(writer).repository('team/app'), layer('x'.repeat(5000)), { tag: '1.0' })
    const usage = await muster('usage')
    expect(usage).toMatchObject({
      code: 0,
      out: expect.stringMatching(/team\/app +1 +1 +[0-9.]+ KiB[\s\S]*team\/\*\* +[0-9.]+ KiB +10\.0 MiB +0%/),
    })
    expect(JSON.parse((await muster('usage', '-o', 'json')).out)).toMatchObject({ repositories: [{ name: 'team/app', tags: 1 }] })
    expect((await muster('gc')).out).toMatch(/^Removed 0 pieces/)
    expect((await muster('audit', '-n', '20')).out).toMatch(/writer +127\.0\.0\.1 +put manifest +team\/app:1\.0 +sha256:[0-9a-f]{12} +201/)
  })

  it('makes tokens that work until they are revoked', async () => {
    const { client, muster } = await instance()
    await pushArtifact(client(writer).repository('team/app'), layer('a'), { tag: '1.0' })
    const made = await muster('token', 'create', 'ci', '--scope', 'repository:team/**:pull', '--expires', '90d')
    expect(made).toMatchObject({ code: 0, err: expect.stringContaining('It is shown only now') })
    const holder = client({ username: 'ci', password: made.out.trim() })
    expect(await holder.repository('team/app').tags()).toEqual(['1.0'])
    expect((await muster('token', 'list')).out).toMatch(/ci +repository:team\/\*\*:pull +20/)
    expect((await muster('token', 'create', 'ci', '--scope', 'repository:a:pull')).err).toContain('There is a token ci already')
    expect((await muster('token', 'revoke', 'ci')).code).toBe(0)
    await expect(holder.repository('team/app').tags()).rejects.toMatchObject({ code: 'Unauthorized' })
    expect(await muster('token', 'revoke', 'ci')).toMatchObject({ code: 1, err: expect.stringContaining('There is no token ci') })
  })

  it.each([
    [['token', 'create', 'ci'], /--scope/],
    [['token', 'create', 'ci', '--scope', 'all'], /"all" is no scope/],
    [['token', 'create', 'ci', '--scope', 'repository:a:pull', '--expires', 'soon'], /no length of time/],
    [['token', 'create', 'a b', '--scope', 'repository:a:pull'], /no name of a token/],
    [['configure', '--check'], /which file/],
    [['audit', '-n', '0'], /whole number/],
  ])('%j is wrong use, and says why', async (args, sentence) => {
    const { muster } = await instance()
    expect(await muster(...args)).toMatchObject({ code: 2, err: expect.stringMatching(sentence) })
  })

  it('checks a file of settings without using it, and names what is wrong in it', async () => {
    const { state, muster } = await instance()
    const file = path.join(state, 'settings.yaml')
    await writeFile(file, 'quotas: [{ repositories: team/**, size: 1GiB }]\n')
    expect(await muster('configure', '--check', file)).toMatchObject({ code: 0, out: expect.stringContaining('1 quotas') })
    await writeFile(file, 'quotas: [{ repositories: team/**, size: much }]\n')
    expect(await muster('configure', '--check', file)).toMatchObject({ code: 1, err: expect.stringContaining('quotas[0].size is no size') })
    expect((await muster('configure')).out).toBe('# Nothing is set.\n')
  })

  it('tells how mirrors do, and of one that cannot be reached', async () => {
    const { muster } = await instance()
    expect((await muster('mirror', 'list')).out).toMatch(/away +push +127\.0\.0\.1:1 +none +never/)
    expect(await muster('mirror', 'run', 'other')).toMatchObject({ code: 1, err: expect.stringContaining('has no mirror other') })
  })

  it('removes nothing without rules, or without the hub, which knows what is placed', async () => {
    const { state, muster } = await instance()
    expect(await muster('retain', '--dry-run')).toMatchObject({ code: 1, err: expect.stringContaining('no rules of retention') })
    const policy = path.join(state, 'keep.yaml')
    await writeFile(policy, 'rules: [{ repositories: "**", keep: { newest: 1 } }]')
    expect(await muster('retain', '--policy', policy)).toMatchObject({ code: 1, err: expect.stringContaining('is not up') })
  })
})

it('what is placed and what clusters report is needed, each with its reason', async () => {
  const digest = (at: number): string => `sha256:${String(at).repeat(64)}`
  const lists: Record<string, object[]> = {
    Placement: [{ metadata: { name: 'app' }, spec: { bundle: { digest: digest(1) } } }],
    Cluster: [
      { metadata: { name: 'alpha' }, status: { report: { releases: [{ name: 'app', digest: digest(2) }] } } },
      { metadata: { name: 'new' } },
    ],
  }
  const hub = { list: async ({ kind }: { kind: string }) => ({ items: lists[kind] ?? [], resourceVersion: '1' }) }
  expect(await neededBy(hub as never, new AbortController().signal)).toEqual([
    { digest: digest(1), why: 'placement app is of it' },
    { digest: digest(2), why: 'cluster alpha runs it as app' },
  ])
})

describe('docs/registry.md', { timeout: 30_000 }, () => {
  it('has every command, and each as it can be typed', async () => {
    const text = await readFile(path.join(import.meta.dirname, '../../../../docs/registry.md'), 'utf8')
    const lines = [...text.matchAll(/^\$ \.\/muster registry (.+)$/gm)].map(([, line]) => line ?? '')
    const { muster } = await instance()
    for (const line of lines) {
      const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '')
      const { code, err } = await muster(
        ...words.map((word) => (word.startsWith('examples/') ? path.join(import.meta.dirname, '../../../..', word) : word)),
      )
      // What this instance lacks (a daemon, a hub, such a mirror) is another matter.
      expect(`${line}: ${code === 2 ? err : ''}`).toBe(`${line}: `)
    }
    for (const command of [
      'usage',
      'gc',
      'retain',
      'token create',
      'token list',
      'token revoke',
      'mirror list',
      'mirror run',
      'audit',
      'configure',
    ])
      expect(lines.some((line) => line.startsWith(command))).toBe(true)
  })
})
