import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { type Authority, certificateInfo, createAuthority, createKeyPair, type IssueOptions, issueCertificate } from '@muster/pki'
import { readText, writeAtomic } from './files.ts'
import { type ClusterPlan, type Instance, registryAddress } from './instance.ts'

const authorityDays = 3650
const leafDays = 365
/** A certificate with less than this share of its life left is made anew when the host starts. */
const renewBelow = 1 / 3

/** Where a certificate and its key are. */
export interface CertificateFiles {
  readonly certificate: string
  readonly key: string
}

interface Wanted extends Omit<IssueOptions, 'now' | 'days'> {
  readonly name: string
}

function files(dir: string, name: string): CertificateFiles {
  return { certificate: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) }
}

/** An authority in a folder: made once, and kept for as long as the state is. */
async function ensureAuthority(dir: string, name: string, commonName: string, now: Date): Promise<Authority> {
  const at = files(dir, name)
  const certificate = await readText(at.certificate)
  const privateKey = await readText(at.key)
  if (certificate !== undefined && privateKey !== undefined && certificateInfo(certificate, now).remaining > 0)
    return { certificate, privateKey }
  const made = await createAuthority(commonName, { days: authorityDays, now })
  await writeAtomic(at.key, made.privateKey)
  await writeAtomic(at.certificate, made.certificate)
  return made
}

/** Makes a certificate unless the one in the folder is of this authority, says the same, and has enough of its life left. */
async function ensureCertificate(dir: string, authority: Authority, wanted: Wanted, now: Date): Promise<CertificateFiles> {
  const at = files(dir, wanted.name)
  const { name, ...subject } = wanted
  const said = createHash('sha256')
    .update(JSON.stringify([authority.certificate, subject]))
    .digest('hex')
  const held = await readText(at.certificate)
  const saidBefore = await readText(join(dir, `${name}.sha256`))
  if (held !== undefined && saidBefore === said && (await readText(at.key)) !== undefined && stillGood(held, now)) return at
  const made = await issueCertificate(authority, { ...subject, days: leafDays, now })
  await writeAtomic(at.key, made.privateKey)
  await writeAtomic(at.certificate, made.certificate)
  await writeAtomic(join(dir, `${name}.sha256`), said)
  return at
}

function stillGood(certificate: string, now: Date): boolean {
  try {
    return certificateInfo(certificate, now).remaining >= renewBelow
  } catch {
    return false
  }
}

/** Where the certificates of a cluster are. */
export interface ClusterPki {
  readonly dir: string
  readonly ca: CertificateFiles
  readonly etcdCa: CertificateFiles
  readonly etcdServer: CertificateFiles
  readonly etcdPeer: CertificateFiles
  readonly etcdClient: CertificateFiles
  readonly frontProxyCa: CertificateFiles
  readonly frontProxyClient: CertificateFiles
  readonly apiserver: CertificateFiles
  readonly kubeletClient: CertificateFiles
  readonly admin: CertificateFiles
  readonly controllerManager: CertificateFiles
  readonly controllerManagerServer: CertificateFiles
  readonly scheduler: CertificateFiles
  readonly schedulerServer: CertificateFiles
  readonly serviceAccount: { readonly privateKey: string; readonly publicKey: string }
  readonly nodes: ReadonlyMap<
    string,
    { readonly kubelet: CertificateFiles; readonly server: CertificateFiles; readonly proxy: CertificateFiles }
  >
}

/** The user that the API server is for a kubelet. */
export const kubeletClientUser = 'kube-apiserver-kubelet-client'

/** Makes what is missing of a cluster's certificates, and renews what is old. One authority for each circle of trust. */
export async function ensureClusterPki(dir: string, cluster: ClusterPlan, now: Date): Promise<ClusterPki> {
  const ca = await ensureAuthority(dir, 'ca', `${cluster.name} cluster CA`, now)
  const etcdCa = await ensureAuthority(dir, 'etcd-ca', `${cluster.name} etcd CA`, now)
  const frontProxyCa = await ensureAuthority(dir, 'front-proxy-ca', `${cluster.name} front proxy CA`, now)
  const address = [cluster.address]
  const server = (name: string, commonName: string, addresses: readonly string[], dns: readonly string[]) =>
    ensureCertificate(dir, ca, { name, commonName, usages: ['server'], addresses, dns }, now)
  const client = (name: string, commonName: string, organizations: readonly string[] = []) =>
    ensureCertificate(dir, ca, { name, commonName, organizations, usages: ['client'] }, now)
  const nodes = new Map<string, { kubelet: CertificateFiles; server: CertificateFiles; proxy: CertificateFiles }>()
  for (const node of cluster.nodes) {
    nodes.set(node.name, {
      kubelet: await client(`${node.name}.kubelet`, `system:node:${node.name}`, ['system:nodes']),
      server: await server(`${node.name}.server`, `system:node:${node.name}`, [node.address], [node.name]),
      proxy: await client(`${node.name}.proxy`, 'system:kube-proxy'),
    })
  }
  const serviceNames = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local']
  return {
    dir,
    ca: files(dir, 'ca'),
    etcdCa: files(dir, 'etcd-ca'),
    frontProxyCa: files(dir, 'front-proxy-ca'),
    etcdServer: await ensureCertificate(
      dir,
      etcdCa,
      { name: 'etcd-server', commonName: 'etcd', usages: ['server', 'client'], addresses: address },
      now,
    ),
    etcdPeer: await ensureCertificate(
      dir,
      etcdCa,
      { name: 'etcd-peer', commonName: 'etcd-peer', usages: ['server', 'client'], addresses: address },
      now,
    ),
    etcdClient: await ensureCertificate(dir, etcdCa, { name: 'etcd-client', commonName: 'kube-apiserver', usages: ['client'] }, now),
    frontProxyClient: await ensureCertificate(
      dir,
      frontProxyCa,
      { name: 'front-proxy-client', commonName: 'front-proxy-client', usages: ['client'] },
      now,
    ),
    apiserver: await server('apiserver', 'kube-apiserver', [cluster.address, cluster.apiService], serviceNames),
    kubeletClient: await client('kubelet-client', kubeletClientUser),
    admin: await client('admin', 'kubernetes-admin', ['system:masters']),
    controllerManager: await client('controller-manager', 'system:kube-controller-manager'),
    controllerManagerServer: await server('controller-manager-server', 'kube-controller-manager', address, []),
    scheduler: await client('scheduler', 'system:kube-scheduler'),
    schedulerServer: await server('scheduler-server', 'kube-scheduler', address, []),
    serviceAccount: await ensureServiceAccountKey(dir),
    nodes,
  }
}

async function ensureServiceAccountKey(dir: string): Promise<{ privateKey: string; publicKey: string }> {
  const at = { privateKey: join(dir, 'service-account.key'), publicKey: join(dir, 'service-account.pub') }
  const held = await readText(at.privateKey)
  if (held === undefined) await writeAtomic(at.privateKey, createKeyPair().privateKey)
  const key = await readText(at.privateKey)
  await writeAtomic(
    at.publicKey,
    createPublicKey(key ?? '')
      .export({ type: 'spki', format: 'pem' })
      .toString(),
  )
  return at
}

/** The instance's own authority and the registry's certificate. */
export async function ensureInstancePki(
  dir: string,
  instance: Instance,
  now: Date,
): Promise<{ readonly ca: CertificateFiles; readonly registry: CertificateFiles }> {
  const ca = await ensureAuthority(dir, 'instance-ca', `Muster ${instance.id} CA`, now)
  const registry = await ensureCertificate(
    dir,
    ca,
    { name: 'registry', commonName: 'registry', usages: ['server'], addresses: [registryAddress(instance)] },
    now,
  )
  return { ca: files(dir, 'instance-ca'), registry }
}

/** The digest of a certificate's bytes, by which a component is known to run with an older one. */
export function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256
}
