import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planCluster } from './instance.ts'
import { type CertificateFiles, ensureClusterPki, ensureInstancePki } from './pki.ts'

const cluster = planCluster({ id: 'dev', x: 70 }, { name: 'alpha', index: 1, nodes: 2, hub: false })
const start = new Date('2026-01-01T00:00:00Z')
const daysLater = (days: number) => new Date(start.getTime() + days * 24 * 3600 * 1000)

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-pki-'))
})
afterEach(async () => await rm(dir, { recursive: true }))

const read = async (files: CertificateFiles) => new X509Certificate(await readFile(files.certificate))

describe('the certificates of a cluster', () => {
  it('are valid for the addresses where their holders answer', async () => {
    const pki = await ensureClusterPki(dir, cluster, start)
    const apiserver = await read(pki.apiserver)
    for (const address of ['10.70.2.1', '10.198.16.1']) expect(apiserver.checkIP(address)).toBe(address)
    expect(apiserver.checkHost('kubernetes.default.svc')).toBe('kubernetes.default.svc')
    expect((await read(pki.etcdServer)).checkIP('10.70.2.1')).toBe('10.70.2.1')
    const node = pki.nodes.get('alpha-2')
    expect(node && (await read(node.server)).checkIP('10.70.2.12')).toBe('10.70.2.12')
    expect(node && (await read(node.kubelet)).subject).toBe('O=system:nodes\nCN=system:node:alpha-2')
  })

  it('stand in circles of trust of their own: who is known to etcd is not known to the API server', async () => {
    const pki = await ensureClusterPki(dir, cluster, start)
    const [ca, etcd, frontProxy] = await Promise.all([pki.ca, pki.etcdCa, pki.frontProxyCa].map(read))
    const issuedBy = async (files: CertificateFiles) => {
      const certificate = await read(files)
      return [ca, etcd, frontProxy].map((authority) => authority !== undefined && certificate.verify(authority.publicKey))
    }
    expect(await issuedBy(pki.admin)).toEqual([true, false, false])
    expect(await issuedBy(pki.etcdClient)).toEqual([false, true, false])
    expect(await issuedBy(pki.frontProxyClient)).toEqual([false, false, true])
  })

  it('stay as they are while they are good', async () => {
    const before = await readFile((await ensureClusterPki(dir, cluster, start)).apiserver.certificate, 'utf8')
    expect(await readFile((await ensureClusterPki(dir, cluster, daysLater(200))).apiserver.certificate, 'utf8')).toBe(before)
  })

  it('are renewed when a third of their life is left, under the same authority', async () => {
    const before = await ensureClusterPki(dir, cluster, start)
    const [old, authority] = [await read(before.apiserver), await read(before.ca)]
    const after = await read((await ensureClusterPki(dir, cluster, daysLater(250))).apiserver)
    expect(after.serialNumber).not.toBe(old.serialNumber)
    expect(after.verify(authority.publicKey)).toBe(true)
    expect(new Date(after.validTo).getTime()).toBeGreaterThan(new Date(old.validTo).getTime())
  })

  it('are made anew when the cluster has other addresses', async () => {
    await ensureClusterPki(dir, cluster, start)
    const moved = planCluster({ id: 'dev', x: 71 }, { name: 'alpha', index: 1, nodes: 2, hub: false })
    expect((await read((await ensureClusterPki(dir, moved, start)).apiserver)).checkIP('10.71.2.1')).toBe('10.71.2.1')
  })

  it('can be read by their owner only', async () => {
    const pki = await ensureClusterPki(dir, cluster, start)
    for (const file of [pki.ca.key, pki.admin.key, pki.serviceAccount.privateKey]) expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  it('include one for the registry’s address', async () => {
    const pki = await ensureInstancePki(dir, { id: 'dev', x: 70, state: dir }, start)
    expect((await read(pki.registry)).checkIP('10.70.0.1')).toBe('10.70.0.1')
  })
})
