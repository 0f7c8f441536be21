import type { KubeClient, KubeObject } from '@muster/kube'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
let bravo: KubeClient

beforeAll(async () => {
  bravo = await instance.client('bravo')
})

describe('the embedded clusters', () => {
  it('resolve names of Services from pods', async () => {
    const answer = await instance.succeed(
      'kubectl',
      'alpha',
      '--',
      '-n',
      'podinfo',
      'exec',
      'deploy/podinfo',
      '--',
      './podcli',
      'check',
      'http',
      'http://podinfo.podinfo.svc.cluster.local:9898/healthz',
    )
    expect(answer).toBeDefined()
  })

  it("cannot reach each other's Services, pods or API servers", async () => {
    const service = await bravo.get<KubeObject & { spec: { clusterIP: string } }>({
      apiVersion: 'v1',
      kind: 'Service',
      namespace: 'podinfo',
      name: 'podinfo',
    })
    const { items } = await bravo.list<KubeObject & { status: { podIP?: string } }>({ apiVersion: 'v1', kind: 'Pod', namespace: 'podinfo' })
    const podIp = items.find((pod) => pod.status.podIP)?.status.podIP
    for (const address of [`http://${service.spec.clusterIP}:9898/healthz`, `http://${podIp}:9898/healthz`]) {
      const outcome = await instance.muster(
        'kubectl',
        'alpha',
        '--',
        '-n',
        'podinfo',
        'exec',
        'deploy/podinfo',
        '--',
        './podcli',
        'check',
        'http',
        '--retry',
        '0',
        '--timeout',
        '2s',
        address,
      )
      expect(outcome.code, address).not.toBe(0)
    }
    // The same from bravo itself shows that the question was a fair one.
    await eventually(
      async () => {
        const own = await instance.muster(
          'kubectl',
          'bravo',
          '--',
          '-n',
          'podinfo',
          'exec',
          'deploy/podinfo',
          '--',
          './podcli',
          'check',
          'http',
          '--timeout',
          '2s',
          `http://${service.spec.clusterIP}:9898/healthz`,
        )
        return own.code === 0 ? true : undefined
      },
      { withinMs: 30_000, what: 'bravo reaches its own Service' },
    )
  })
})
