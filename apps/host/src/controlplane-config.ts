import type { ClusterPlan } from './instance.ts'
import { ports } from './instance.ts'
import type { ClusterPki } from './pki.ts'

/** Files of a control plane, beside its certificates. */
export interface ControlPlaneFiles {
  readonly etcdData: string
  readonly auditPolicy: string
  readonly auditLog: string
  readonly encryption: string
  readonly controllerManagerKubeconfig: string
  readonly schedulerKubeconfig: string
}

/** etcd, one member, TLS with client certificates for clients and peers. */
export function etcdArguments(cluster: ClusterPlan, pki: ClusterPki, files: ControlPlaneFiles): string[] {
  const client = `https://${cluster.address}:${ports.etcd}`
  const peer = `https://${cluster.address}:${ports.etcdPeer}`
  return flags({
    name: cluster.name,
    'data-dir': files.etcdData,
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `${cluster.name}=${peer}`,
    'initial-cluster-token': cluster.name,
    'cert-file': pki.etcdServer.certificate,
    'key-file': pki.etcdServer.key,
    'client-cert-auth': 'true',
    'trusted-ca-file': pki.etcdCa.certificate,
    'peer-cert-file': pki.etcdPeer.certificate,
    'peer-key-file': pki.etcdPeer.key,
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': pki.etcdCa.certificate,
    'tls-min-version': 'TLS1.2',
    'log-level': 'warn',
  })
}

/** The API server, on the cluster's bridge address only; no anonymous requests. */
export function apiserverArguments(cluster: ClusterPlan, pki: ClusterPki, files: ControlPlaneFiles): string[] {
  return flags({
    'advertise-address': cluster.address,
    'bind-address': cluster.address,
    'secure-port': String(ports.apiserver),
    'tls-cert-file': pki.apiserver.certificate,
    'tls-private-key-file': pki.apiserver.key,
    'tls-min-version': 'VersionTLS12',
    'client-ca-file': pki.ca.certificate,
    'anonymous-auth': 'false',
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': 'true',
    'service-cluster-ip-range': cluster.serviceNet,
    'etcd-servers': `https://${cluster.address}:${ports.etcd}`,
    'etcd-cafile': pki.etcdCa.certificate,
    'etcd-certfile': pki.etcdClient.certificate,
    'etcd-keyfile': pki.etcdClient.key,
    'encryption-provider-config': files.encryption,
    'service-account-key-file': pki.serviceAccount.publicKey,
    'service-account-signing-key-file': pki.serviceAccount.privateKey,
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    // Names of nodes resolve nowhere: logs and exec go to the node's address.
    'kubelet-preferred-address-types': 'InternalIP',
    'kubelet-certificate-authority': pki.ca.certificate,
    'kubelet-client-certificate': pki.kubeletClient.certificate,
    'kubelet-client-key': pki.kubeletClient.key,
    'requestheader-client-ca-file': pki.frontProxyCa.certificate,
    'requestheader-allowed-names': 'front-proxy-client',
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-username-headers': 'X-Remote-User',
    'proxy-client-cert-file': pki.frontProxyClient.certificate,
    'proxy-client-key-file': pki.frontProxyClient.key,
    // The host has routes to pods but no kube-proxy: aggregated APIs and webhooks are reached at their endpoints.
    'enable-aggregator-routing': 'true',
    // Watches would hold up the end of the server for a minute.
    'shutdown-watch-termination-grace-period': '1s',
    'audit-policy-file': files.auditPolicy,
    'audit-log-path': files.auditLog,
    'audit-log-maxsize': '20',
    'audit-log-maxbackup': '2',
    profiling: 'false',
  })
}

export function controllerManagerArguments(cluster: ClusterPlan, pki: ClusterPki, files: ControlPlaneFiles): string[] {
  return flags({
    ...clientFlags(files.controllerManagerKubeconfig, cluster, pki, pki.controllerManagerServer, ports.controllerManager),
    'service-account-private-key-file': pki.serviceAccount.privateKey,
    'root-ca-file': pki.ca.certificate,
    'cluster-signing-cert-file': pki.ca.certificate,
    'cluster-signing-key-file': pki.ca.key,
    'use-service-account-credentials': 'true',
    // Each node's pod range follows from its number in the plan, which the host's routes and packet filter know too.
    'allocate-node-cidrs': 'false',
    'cluster-name': cluster.name,
    'service-cluster-ip-range': cluster.serviceNet,
  })
}

export function schedulerArguments(cluster: ClusterPlan, pki: ClusterPki, files: ControlPlaneFiles): string[] {
  return flags(clientFlags(files.schedulerKubeconfig, cluster, pki, pki.schedulerServer, ports.scheduler))
}

function clientFlags(
  kubeconfig: string,
  cluster: ClusterPlan,
  pki: ClusterPki,
  server: { readonly certificate: string; readonly key: string },
  port: number,
): Record<string, string> {
  return {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': cluster.address,
    'secure-port': String(port),
    'tls-cert-file': server.certificate,
    'tls-private-key-file': server.key,
    'client-ca-file': pki.ca.certificate,
    'requestheader-client-ca-file': pki.frontProxyCa.certificate,
    // The only one of its kind: an election would cost 15 s after each restart.
    'leader-elect': 'false',
    profiling: 'false',
  }
}

/** Secrets are encrypted in etcd with a key that only this machine's state folder holds (AES-CBC, the FIPS-approved one without a call limit). */
export function encryptionConfig(key: Uint8Array): string {
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [{ aescbc: { keys: [{ name: 'key1', secret: Buffer.from(key).toString('base64') }] } }, { identity: {} }],
      },
    ],
  })
}

/** Who changed what, without contents; reads and the chatter of leases and events are left out. */
export function auditPolicy(): string {
  return JSON.stringify({
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [
      { level: 'None', verbs: ['get', 'list', 'watch'] },
      { level: 'None', resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
      { level: 'None', resources: [{ group: '', resources: ['events'] }, { group: 'events.k8s.io' }] },
      { level: 'None', resources: [{ group: 'authorization.k8s.io' }, { group: 'authentication.k8s.io' }] },
      { level: 'None', userGroups: ['system:nodes'], resources: [{ group: '', resources: ['nodes/status', 'pods/status'] }] },
      { level: 'Metadata' },
    ],
  })
}

export function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`)
}
