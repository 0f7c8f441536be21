import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type ClusterReport, customResourceDefinition, type ReleaseReport, releaseKind, siteOverlayKind } from '@muster/api'
import { type ClientConfig, KubeClient, type KubeObject, loadKubeconfig, type PemSource } from '@muster/kube'
import { createAuthority, issueCertificate } from '@muster/pki'
import { inject } from 'vitest'
import { type FaultyProxy, openFaultyProxy } from '../../../../test/environment/faulty-proxy.ts'
import { AgentProcess, bundleAgent } from './agent-process.ts'
import { TestFleet } from './fleet.ts'

/** Longest wait for anything, in milliseconds: test machines are small. */
const patienceMs = 90_000

/** A real API server as an agent meets it on a bad day: the agent is a process, and all that it asks goes by way of a proxy. */
export interface FaultyCluster {
  /** Random: in every name, so that nothing meets what others have. */
  readonly id: string
  /** The test's own way to the API server, not by the proxy. */
  readonly client: KubeClient
  readonly proxy: FaultyProxy
  readonly fleet: TestFleet
  readonly agent: AgentProcess
  /** Waits until a report says it of a release; undefined: until it is not there any more. */
  reported(name: string, test: (release: ReleaseReport | undefined, report: ClusterReport) => boolean): Promise<ReleaseReport | undefined>
  /** Waits until it is so; what the agent said last is in the error. */
  eventually<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T>
  /** Ends all, and removes what these releases may have left. */
  close(releases: readonly string[]): Promise<void>
}

/**
 * @param config of another API server than the shared one
 * @param env of the agent, over what it has in every test
 */
export async function openFaultyCluster(config?: ClientConfig, env: Readonly<Record<string, string>> = {}): Promise<FaultyCluster> {
  const id = randomBytes(4).toString('hex')
  const system = `agent-${id}`
  const directory = await mkdtemp(join(tmpdir(), 'faulty-cluster-'))
  const straight = config ?? (await loadKubeconfig(inject('kubeconfig')))
  const client = new KubeClient(straight, { userAgent: 'agent-test', fieldManager: 'agent-test', timeoutMs: 60_000 })
  const { proxy, kubeconfig } = await proxyTo(straight, directory)
  const fleet = await TestFleet.start(`test-${id}`)
  const program = join(directory, 'agent.mjs')
  await bundleAgent(program)
  const agent = new AgentProcess({ program, kubeconfig, namespace: system, store: fleet.store, env })
  const ask: FaultyCluster['eventually'] = async (what, test) => {
    const until = performance.now() + patienceMs
    for (;;) {
      const found = await test()
      if (found !== undefined && found !== false) return found
      if (performance.now() > until) throw new Error(`It did not come about: ${what}. The agent said:\n${agent.log}`)
      await pause(20)
    }
  }
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: system } })
  for (const kind of [releaseKind, siteOverlayKind]) {
    await client.apply(customResourceDefinition(kind) as KubeObject, { force: true })
    await ask(`${kind.kind} is served`, async () => client.list({ apiVersion, kind: kind.kind }).catch(() => undefined))
  }
  const { hubUrl, hubCa, cluster, token, root } = fleet
  await client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'muster-agent-bootstrap', namespace: system },
    stringData: { 'hub-url': hubUrl, 'hub-ca.crt': hubCa, cluster, token, 'root.json': root },
  } as KubeObject)
  return {
    id,
    client,
    proxy,
    fleet,
    agent,
    eventually: ask,
    async reported(name, test) {
      const last = () => {
        const report = fleet.reports.at(-1)
        return report && { report, release: report.releases.find((one) => one.name === name) }
      }
      const { release } = await ask(`the right report of ${name}; the last one: ${JSON.stringify(last())}`, async () => {
        const found = last()
        return found !== undefined && test(found.release, found.report) && found
      })
      return release
    },
    async close(releases) {
      await agent.end('SIGKILL')
      for (const name of releases) {
        await client.delete({ apiVersion, kind: 'Release', name })
        await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
      }
      await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: system })
      client.close()
      await proxy.close()
      await fleet.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A proxy with a certificate of its own, and a kubeconfig to it. Whoever comes by it is who the configuration says. */
async function proxyTo({ server, ca, user }: ClientConfig, directory: string): Promise<{ proxy: FaultyProxy; kubeconfig: string }> {
  const now = new Date()
  const authority = await createAuthority('proxy', { days: 1, now })
  const shown = await issueCertificate(authority, {
    commonName: 'proxy',
    addresses: ['127.0.0.1'],
    usages: ['server'],
    days: 1,
    now,
  })
  const proxy = await openFaultyProxy(server, {
    ca: await pem(ca),
    shown,
    client: { certificate: await pem(user?.certificate), privateKey: await pem(user?.key) },
  })
  const kubeconfig = join(directory, 'kubeconfig')
  const cluster = { server: proxy.url, 'certificate-authority-data': Buffer.from(authority.certificate).toString('base64') }
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'proxy', cluster }],
    contexts: [{ name: 'proxy', context: { cluster: 'proxy' } }],
    'current-context': 'proxy',
  }
  await writeFile(kubeconfig, JSON.stringify(content))
  return { proxy, kubeconfig }
}

async function pem(source: PemSource | undefined): Promise<string> {
  if (source === undefined) throw new Error('the kubeconfig of a test has certificates')
  return 'pem' in source ? source.pem : readFile(source.file, 'utf8')
}
