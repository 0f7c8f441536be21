import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cgroups } from './cgroup.ts'
import {
  apiserverArguments,
  auditPolicy,
  type ControlPlaneFiles,
  controllerManagerArguments,
  encryptionConfig,
  etcdArguments,
  schedulerArguments,
} from './controlplane-config.ts'
import { readText, writeIfChanged } from './files.ts'
import { type ClusterPlan, type Instance, kernelNames, paths, ports } from './instance.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { type CertificateFiles, type ClusterPki, fingerprint } from './pki.ts'
import { ask, expectOk } from './probe.ts'
import { Component, type ComponentSpec } from './process.ts'

/** The four processes of a control plane, in the order in which they start. */
export interface ControlPlane {
  readonly etcd: Component
  readonly apiserver: Component
  readonly controllerManager: Component
  readonly scheduler: Component
}

const bootstrapMs = 60_000
/**
 * The API server has a connection to etcd for each resource, and each of them waits ever longer (up to two minutes) while etcd is away.
 * Until the last of them is back, requests for its resource hang and its watches are silent: etcd must not be away for long.
 */
const etcdPauseMs = 1_000

interface Options {
  readonly instance: Instance
  readonly cluster: ClusterPlan
  readonly pki: ClusterPki
  readonly binaries: string
  readonly cgroups: Cgroups
  readonly log: (message: string) => void
}

/** Writes the files of a control plane and describes its components; nothing is started. */
export async function createControlPlane(options: Options): Promise<ControlPlane> {
  const { instance, cluster, pki, binaries, cgroups, log } = options
  const files = await writeFiles(instance, cluster, pki)
  const places = paths(instance.state)
  const component = (
    name: string,
    args: string[],
    reads: readonly string[],
    rest: Pick<ComponentSpec, 'probe' | 'readyTimeoutMs' | 'stopTimeoutMs' | 'longestPauseMs'> & {
      needs?: (signal: AbortSignal) => Promise<void>
    },
  ) => {
    const { needs, ...timing } = rest
    return new Component(
      {
        name: `${cluster.name}/${name}`,
        cgroup: `${kernelNames(instance).cgroup}/${cluster.name}.${name}`,
        logFile: join(places.logs, cluster.name, `${name}.log`),
        recordFile: join(places.run, cluster.name, `${name}.json`),
        command: async (signal) => {
          await needs?.(signal)
          return { file: join(binaries, name), args, fingerprint: await contents(reads) }
        },
        ...timing,
      },
      cgroups,
      log,
    )
  }
  const etcdUrl = `https://${cluster.address}:${ports.etcd}`
  const healthz = (port: number) => (signal: AbortSignal) =>
    expectOk(`https://${cluster.address}:${port}/healthz`, { ca: pki.ca.certificate, signal })
  return {
    etcd: component('etcd', etcdArguments(cluster, pki, files), [pki.etcdServer, pki.etcdPeer].map(certificateOf), {
      probe: (signal) => expectOk(`${etcdUrl}/health`, { ca: pki.etcdCa.certificate, client: pki.etcdClient, signal }),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 15_000,
      longestPauseMs: etcdPauseMs,
    }),
    apiserver: component(
      'kube-apiserver',
      apiserverArguments(cluster, pki, files),
      [pki.apiserver, pki.etcdClient, pki.kubeletClient, pki.frontProxyClient].map(certificateOf),
      {
        probe: (signal) => expectOk(`${cluster.server}/readyz`, { ca: pki.ca.certificate, client: pki.admin, signal }),
        readyTimeoutMs: 90_000,
        stopTimeoutMs: 20_000,
      },
    ),
    controllerManager: component(
      'kube-controller-manager',
      controllerManagerArguments(cluster, pki, files),
      [pki.controllerManager, pki.controllerManagerServer].map(certificateOf),
      {
        needs: (signal) => bootstrapped(cluster, pki, signal),
        probe: healthz(ports.controllerManager),
        readyTimeoutMs: 60_000,
        stopTimeoutMs: 10_000,
      },
    ),
    scheduler: component(
      'kube-scheduler',
      schedulerArguments(cluster, pki, files),
      [pki.scheduler, pki.schedulerServer].map(certificateOf),
      {
        needs: (signal) => bootstrapped(cluster, pki, signal),
        probe: healthz(ports.scheduler),
        readyTimeoutMs: 60_000,
        stopTimeoutMs: 10_000,
      },
    ),
  }
}

/** Waits until the API server has made the roles without which the controllers exit. */
async function bootstrapped(cluster: ClusterPlan, pki: ClusterPki, signal: AbortSignal): Promise<void> {
  const role = '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader'
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(bootstrapMs)])
  while (!deadline.aborted) {
    const answer = await ask(`${cluster.server}${role}`, { ca: pki.ca.certificate, client: pki.admin, signal: deadline }).catch(
      () => undefined,
    )
    if (answer?.status === 200) return
    await delay(200, undefined, { signal: deadline }).catch(() => undefined)
  }
  throw new Error('the API server has not made its first roles yet')
}

async function writeFiles(instance: Instance, cluster: ClusterPlan, pki: ClusterPki): Promise<ControlPlaneFiles> {
  const dir = paths(instance.state).cluster(cluster.name)
  const files: ControlPlaneFiles = {
    etcdData: join(dir, 'etcd'),
    auditPolicy: join(dir, 'audit-policy.json'),
    auditLog: join(paths(instance.state).logs, cluster.name, 'audit.log'),
    encryption: join(dir, 'encryption.json'),
    controllerManagerKubeconfig: join(dir, 'controller-manager.kubeconfig'),
    schedulerKubeconfig: join(dir, 'scheduler.kubeconfig'),
  }
  await mkdir(files.etcdData, { recursive: true, mode: 0o700 })
  await mkdir(join(paths(instance.state).logs, cluster.name), { recursive: true, mode: 0o700 })
  await writeIfChanged(files.auditPolicy, auditPolicy())
  if ((await readText(files.encryption)) === undefined) await writeIfChanged(files.encryption, encryptionConfig(randomBytes(32)))
  const { name, server } = cluster
  await writeKubeconfig(files.controllerManagerKubeconfig, name, server, pki.ca.certificate, pki.controllerManager)
  await writeKubeconfig(files.schedulerKubeconfig, name, server, pki.ca.certificate, pki.scheduler)
  await writeKubeconfig(paths(instance.state).kubeconfig(name), name, server, pki.ca.certificate, pki.admin)
  return files
}

function certificateOf(files: CertificateFiles): string {
  return files.certificate
}

/** The fingerprints of certificates: when one is renewed, what reads it starts anew. */
async function contents(certificates: readonly string[]): Promise<string> {
  return (await Promise.all(certificates.map(async (file) => fingerprint(await readFile(file, 'utf8'))))).join(' ')
}
