import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { eventually, type Outcome, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()

describe('a node', () => {
  it('has an operating system that cannot be written, and room only where it must', async () => {
    const pid = await nodePid('alpha-1')
    const inNode = (...command: string[]): Promise<Outcome> => run('nsenter', ['--target', pid, '--mount', '--pid', '--', ...command])
    for (const file of ['/etc/x', '/usr/bin/x', '/opt/muster/bin/kubelet']) {
      const outcome = await inNode('touch', file)
      expect(outcome.stderr, file).toContain('Read-only file system')
      expect(outcome.code).not.toBe(0)
    }
    expect((await inNode('touch', '/var/tmp/muster-test')).code).toBe(0)
    await inNode('rm', '/var/tmp/muster-test')
  })
})

describe('clusters', () => {
  it('resolve names of Services from pods', async () => {
    await reaches('alpha', 'http', 'http://podinfo.podinfo.svc.cluster.local:9898/healthz')
  })

  it("cannot reach each other's Services, pods or API servers", async () => {
    const bravo = await instance.client('bravo')
    const service = await bravo.get<KubeObject & { spec: { clusterIP: string } }>({
      apiVersion: 'v1',
      kind: 'Service',
      namespace: 'podinfo',
      name: 'podinfo',
    })
    const { items: pods } = await bravo.list<KubeObject & { status: { podIP?: string } }>({
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'podinfo',
      labelSelector: 'app=podinfo',
    })
    const server = await instance.succeed('kubectl', 'bravo', '--', 'config', 'view', '-o', 'jsonpath={.clusters[0].cluster.server}')
    const questions = [
      ['http', `http://${service.spec.clusterIP}:9898/healthz`],
      ['http', `http://${pods.find((pod) => pod.status.podIP)?.status.podIP}:9898/healthz`],
      ['tcp', new URL(server.trim()).host],
    ] as const
    for (const [protocol, address] of questions) {
      // That bravo itself gets an answer shows that the question is a fair one.
      await reaches('bravo', protocol, address)
      expect((await ask('alpha', protocol, address)).code, `${protocol} ${address} from alpha`).not.toBe(0)
    }
  })
})

/** Asks an address from a pod of podinfo, with podinfo's own client. */
async function ask(cluster: string, protocol: 'http' | 'tcp', address: string): Promise<Outcome> {
  const command = ['podcli', 'check', protocol, '--retry', '0', '--timeout', '2s', address]
  return instance.muster('kubectl', cluster, '--', '-n', 'podinfo', 'exec', 'deploy/podinfo', '--', ...command)
}

async function reaches(cluster: string, protocol: 'http' | 'tcp', address: string): Promise<void> {
  await eventually(async () => ((await ask(cluster, protocol, address)).code === 0 ? true : undefined), {
    withinMs: 30_000,
    what: `${cluster} reaches ${protocol} ${address}`,
  })
}

/** The first process inside a node's namespaces: the child of the one that entered them. */
async function nodePid(node: string): Promise<string> {
  const { pid } = JSON.parse(await readFile(path.join(instance.state, 'run', node, 'init.json'), 'utf8')) as { pid: number }
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return children.trim().split(' ')[0] ?? ''
}
