import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { startApiServer } from '../../test/environment/api-server.ts'
import { end } from '../program.ts'

/** What the API server has done so far. */
export interface ServerCounts {
  /** Requests of the one who is measured: nobody else is in its flow schema. */
  readonly requests: number
  /** Server-side applies, by anybody. */
  readonly applies: number
  readonly cpuSeconds: number
}

/** An API server with a controller manager and no nodes, for one who is measured. */
export interface BenchCluster {
  /** An administrator's, which is not counted. */
  readonly client: KubeClient
  /** Of an administrator, and of the one who is measured. */
  readonly admin: string
  readonly kubeconfig: string
  counts(): Promise<ServerCounts>
  dispose(): Promise<void>
}

const subject = 'measured'

export async function startCluster(bin: string, scratch: string): Promise<BenchCluster> {
  const server = await startApiServer(bin)
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const kubeconfigOf = async (name: string, user: { certificate: string; privateKey: string }): Promise<string> => {
    const file = path.join(scratch, `${path.basename(server.directory)}-${name}.kubeconfig`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'bench',
      clusters: [{ name: 'bench', cluster: { server: server.url, 'certificate-authority-data': base64(server.ca) } }],
      users: [{ name, user: { 'client-certificate-data': base64(user.certificate), 'client-key-data': base64(user.privateKey) } }],
      contexts: [{ name: 'bench', context: { cluster: 'bench', user: name } }],
    }
    await writeFile(file, JSON.stringify(config), { mode: 0o600 })
    return file
  }
  const admin = await kubeconfigOf('admin', server.admin)
  // Not of system:masters, whose requests are in nobody's flow.
  const kubeconfig = await kubeconfigOf(subject, await server.issue({ commonName: subject }))
  const client = new KubeClient(await loadKubeconfig(admin), { userAgent: 'bench', timeoutMs: 60_000 })
  const manager = startManager(bin, admin, server.directory)
  const dispose = async (): Promise<void> => {
    client.close()
    await end(manager)
    await server.dispose()
  }
  try {
    await client.create({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: subject },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: subject }],
    } as KubeObject)
    await untilAtRest(client)
  } catch (error) {
    await dispose()
    throw error
  }
  return { client, admin, kubeconfig, counts: () => countsOf(client), dispose }
}

const lookMs = 1_000
const mostLooks = 60
/** CPU seconds of a second in which an API server is taken to do nothing but its upkeep. */
const restingCpu = 0.2

/** The roles and controllers that a new cluster makes for itself are not part of what is measured. */
async function untilAtRest(client: KubeClient): Promise<void> {
  let before = await countsOf(client)
  for (let look = 1; look <= mostLooks; look += 1) {
    await pause(lookMs)
    const now = await countsOf(client)
    if (difference(before, now).cpuSeconds < restingCpu) return
    before = now
  }
  throw new Error(`The API server is not at rest after ${(mostLooks * lookMs) / 1000} s.`)
}

/** The controllers' own limit of requests is set out of the way: it would be what is measured. */
function startManager(bin: string, kubeconfig: string, directory: string): ChildProcess {
  const flags = {
    kubeconfig,
    'service-account-private-key-file': path.join(directory, 'sa.key'),
    'root-ca-file': path.join(directory, 'ca.crt'),
    'use-service-account-credentials': 'true',
    'leader-elect': 'false',
    'secure-port': '0',
    'kube-api-qps': '500',
    'kube-api-burst': '1000',
  }
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  return spawn(path.join(bin, 'kube-controller-manager'), args, { stdio: 'ignore' })
}

async function countsOf(client: KubeClient): Promise<ServerCounts> {
  const text = String(await client.raw('GET', '/metrics'))
  const sum = (name: string, label: string): number =>
    text
      .split('\n')
      .filter((line) => line.startsWith(name) && line.includes(label))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
  return {
    requests: sum('apiserver_flowcontrol_dispatched_requests_total{', 'flow_schema="global-default"'),
    applies: sum('apiserver_request_total{', 'verb="APPLY"'),
    cpuSeconds: sum('process_cpu_seconds_total', ''),
  }
}

export function difference(before: ServerCounts, after: ServerCounts): ServerCounts {
  return {
    requests: after.requests - before.requests,
    applies: after.applies - before.applies,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
  }
}
