import { describe, expect, it } from 'vitest'
import {
  apiserverArguments,
  controllerManagerArguments,
  encryptionConfig,
  etcdArguments,
  schedulerArguments,
} from './controlplane-config.ts'
import { planCluster } from './instance.ts'
import type { ClusterPki } from './pki.ts'

const cluster = planCluster({ id: 'dev', x: 70 }, { name: 'alpha', index: 1, nodes: 1, hub: false })
const pair = (name: string) => ({ certificate: `/pki/${name}.crt`, key: `/pki/${name}.key` })
const pki: ClusterPki = {
  dir: '/pki',
  ca: pair('ca'),
  etcdCa: pair('etcd-ca'),
  etcdServer: pair('etcd-server'),
  etcdPeer: pair('etcd-peer'),
  etcdClient: pair('etcd-client'),
  frontProxyCa: pair('front-proxy-ca'),
  frontProxyClient: pair('front-proxy-client'),
  apiserver: pair('apiserver'),
  kubeletClient: pair('kubelet-client'),
  admin: pair('admin'),
  controllerManager: pair('controller-manager'),
  controllerManagerServer: pair('controller-manager-server'),
  scheduler: pair('scheduler'),
  schedulerServer: pair('scheduler-server'),
  serviceAccount: { privateKey: '/pki/sa.key', publicKey: '/pki/sa.pub' },
  nodes: new Map(),
}
const files = {
  etcdData: '/c/etcd',
  auditPolicy: '/c/audit.json',
  auditLog: '/c/audit.log',
  encryption: '/c/encryption.json',
  controllerManagerKubeconfig: '/c/kcm.kubeconfig',
  schedulerKubeconfig: '/c/scheduler.kubeconfig',
}
const everyArgument = [etcdArguments, apiserverArguments, controllerManagerArguments, schedulerArguments].flatMap((make) =>
  make(cluster, pki, files),
)

describe('a control plane', () => {
  it('listens on its bridge address only', () => {
    const listening = everyArgument.filter((argument) => /^--(bind-address|listen-)/.test(argument))
    expect(listening).toHaveLength(5)
    for (const argument of listening) expect(argument).toContain('10.70.2.1')
    expect(everyArgument.join(' ')).not.toMatch(/127\.0\.0\.1|0\.0\.0\.0|http:/)
  })

  it('talks to etcd over TLS with client certificates, peers too', () => {
    const etcd = etcdArguments(cluster, pki, files)
    expect(etcd).toContain('--client-cert-auth=true')
    expect(etcd).toContain('--peer-client-cert-auth=true')
    expect(etcd).toContain('--trusted-ca-file=/pki/etcd-ca.crt')
  })

  it('answers nobody who does not say who he is, and checks who a kubelet is', () => {
    const apiserver = apiserverArguments(cluster, pki, files)
    expect(apiserver).toContain('--anonymous-auth=false')
    expect(apiserver).toContain('--authorization-mode=Node,RBAC')
    expect(apiserver).toContain('--kubelet-certificate-authority=/pki/ca.crt')
  })

  it('passes no secret as an argument', () => {
    const secret = everyArgument.filter((argument) => /^--[a-z-]*(key|kubeconfig|encryption)[a-z-]*=/.test(argument))
    expect(secret.length).toBeGreaterThan(10)
    for (const argument of secret) expect(argument).toMatch(/=\/[\w./-]+$/)
  })

  it('encrypts secrets before they reach etcd', () => {
    const config = JSON.parse(encryptionConfig(new Uint8Array(32).fill(7)))
    expect(config.resources[0].resources).toEqual(['secrets'])
    expect(Buffer.from(config.resources[0].providers[0].aescbc.keys[0].secret, 'base64')).toHaveLength(32)
  })
})
