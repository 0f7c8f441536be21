import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority, issueCertificate } from '@muster/pki'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkVersions, takeBinaries } from './binaries.ts'
import type { BuildStep } from './go-build.ts'

const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex')
const files: Record<string, string> = { kubelet: 'the kubelet', etcd: 'the store' }
const sums = new Map(Object.entries(files).map(([name, content]) => [name, sha256(content)]))
const ignore = (): void => undefined

let dir: string
let outDir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-binaries-'))
  outDir = join(dir, 'out')
  await mkdir(outDir)
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})
const take = (source: Parameters<typeof takeBinaries>[0]['source'], binaries = sums, signal = new AbortController().signal) =>
  takeBinaries({ source, binaries, outDir, signal, onStep: ignore })

describe('binaries from a folder', () => {
  it('are taken when each has its digest, and can be run', async () => {
    const steps: BuildStep[] = []
    await takeBinaries({
      source: { from: dir },
      binaries: sums,
      outDir,
      signal: new AbortController().signal,
      onStep: (step) => steps.push(step),
    })
    expect((await readdir(outDir)).sort()).toEqual(['etcd', 'kubelet'])
    expect((await stat(join(outDir, 'kubelet'))).mode & 0o777).toBe(0o755)
    expect(steps.map(({ done, total }) => [done, total])).toEqual([
      [0, 2],
      [1, 2],
    ])
  })

  it('are refused for one changed byte, with both digests said', async () => {
    await writeFile(join(dir, 'etcd'), 'the stoRe')
    await expect(take({ from: dir })).rejects.toMatchObject({
      code: 'ChecksumMismatch',
      message: expect.stringContaining(sha256('the stoRe')),
    })
  })

  it('never become executable before their digest was found right', async () => {
    await writeFile(join(dir, 'kubelet'), 'something else')
    await expect(take({ from: dir })).rejects.toMatchObject({ code: 'ChecksumMismatch' })
    expect((await stat(join(outDir, 'kubelet'))).mode & 0o111).toBe(0)
  })

  it('are refused when one is missing, by its name', async () => {
    await rm(join(dir, 'etcd'))
    await expect(take({ from: dir })).rejects.toMatchObject({ code: 'BinaryMissing', message: expect.stringContaining('etcd') })
  })
})

describe('binaries from an address', () => {
  let server: Server
  let plain: string
  let address: string
  let ca: string
  beforeAll(async () => {
    const now = new Date()
    const authority = await createAuthority('test', { days: 1, now })
    const issued = await issueCertificate(authority, { commonName: 'localhost', dns: ['localhost'], usages: ['server'], days: 1, now })
    ca = authority.certificate
    server = createServer({ key: issued.privateKey, cert: issued.certificate }, (request, response) => {
      const [, place = '', name = ''] = (request.url ?? '').split('/')
      const content = files[name]
      if (place === 'moved') response.writeHead(302, { location: `/release/${name}` }).end()
      else if (place === 'downgraded') response.writeHead(302, { location: `http://localhost/release/${name}` }).end()
      else if (place === 'circle') response.writeHead(302, { location: request.url ?? '' }).end()
      else if (place === 'broken') response.writeHead(503).end()
      else if (place === 'cut') response.writeHead(200, { 'content-length': '1000' }).write('half', () => response.destroy())
      else if (place === 'silent') response.writeHead(200).flushHeaders()
      else if (place !== 'release' || content === undefined) response.writeHead(404).end()
      else response.end(content)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    address = `https://localhost:${port}`
    plain = `http://localhost:${port}/release`
  })
  afterAll(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('are taken over https, also where it leads on to another https address', async () => {
    await take({ from: `${address}/release`, ca })
    expect((await readdir(outDir)).sort()).toEqual(['etcd', 'kubelet'])
    await take({ from: `${address}/moved/`, ca })
  })

  it('are refused over http, and where https leads to http', async () => {
    await expect(take({ from: plain })).rejects.toMatchObject({ code: 'InsecureUrl' })
    await expect(take({ from: 'ftp://localhost/' })).rejects.toMatchObject({ code: 'InsecureUrl' })
    await expect(take({ from: `${address}/downgraded`, ca })).rejects.toMatchObject({ code: 'InsecureUrl' })
  })

  it('are refused from a server whose certificate nobody vouches for', async () => {
    await expect(take({ from: `${address}/release` })).rejects.toMatchObject({ code: 'DownloadFailed', transient: true })
  })

  it('are refused with a wrong digest, and when one is missing', async () => {
    await expect(take({ from: `${address}/release`, ca }, new Map([['etcd', sha256('other')]]))).rejects.toMatchObject({
      code: 'ChecksumMismatch',
    })
    await expect(take({ from: `${address}/release`, ca }, new Map([['kubectl', sha256('other')]]))).rejects.toMatchObject({
      code: 'BinaryMissing',
    })
  })

  it('say whether trying again may help: a server in trouble, a broken-off transfer, an endless circle', async () => {
    await expect(take({ from: `${address}/broken`, ca })).rejects.toMatchObject({ code: 'DownloadFailed', transient: true })
    await expect(take({ from: `${address}/cut`, ca })).rejects.toMatchObject({ code: 'DownloadFailed', transient: true })
    await expect(take({ from: `${address}/circle`, ca })).rejects.toMatchObject({ code: 'DownloadFailed', transient: false })
  })

  it('can be given up while the server says nothing', async () => {
    const controller = new AbortController()
    const taking = take({ from: `${address}/silent`, ca }, sums, controller.signal)
    server.once('request', () => controller.abort())
    await expect(taking).rejects.toMatchObject({ code: 'Aborted' })
  })
})

describe('binaries with the right digest', () => {
  it('are still refused when they say that they are another release', async () => {
    await writeFile(join(outDir, 'kubelet'), '#!/bin/sh\necho Kubernetes v1.36.0\n', { mode: 0o755 })
    const check = (version: string) =>
      checkVersions({ dir: outDir, expected: { kubelet: version }, env: { PATH: '/usr/bin:/bin' }, signal: new AbortController().signal })
    await expect(check('v1.37.2')).rejects.toMatchObject({ code: 'VersionMismatch', message: expect.stringContaining('v1.36.0') })
    await check('v1.36.0')
  })
})
