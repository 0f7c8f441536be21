import type { KubeObject } from '@muster/kube'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'podinfo', name: 'podinfo' }
const service = { apiVersion: 'v1', kind: 'Service', namespace: 'podinfo', name: 'podinfo' }

interface Workload extends KubeObject {
  spec: {
    template: { spec: { hostNetwork?: boolean; containers: { name: string; image: string; securityContext?: { privileged?: boolean } }[] } }
  }
}
interface Ports extends KubeObject {
  spec: { ports: { name: string; port: number; targetPort: number | string }[] }
}

let client: Awaited<ReturnType<typeof instance.client>>
beforeAll(async () => {
  client = await instance.client('alpha')
})

async function patch(target: string, body: unknown, type = 'strategic'): Promise<void> {
  await instance.succeed(
    'kubectl',
    'alpha',
    '--',
    '-n',
    'podinfo',
    'patch',
    target,
    '--field-manager=intruder',
    `--type=${type}`,
    '-p',
    JSON.stringify(body),
  )
}

async function correctionEvent(name: string, mention: RegExp): Promise<KubeObject & { note: string }> {
  return eventually(
    async () => {
      const { items } = await client.list<KubeObject & { note: string; reason: string; regarding: { name: string } }>({
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        namespace: 'podinfo',
      })
      return items.find((event) => event.reason === 'DriftCorrected' && event.regarding.name === name && mention.test(event.note))
    },
    { withinMs: 20_000, what: `an event DriftCorrected on ${name} that mentions ${mention}` },
  )
}

describe('drift', () => {
  it('an owned field changed by hand is back within a second, with an event that says what, when and which field manager', async () => {
    const times: number[] = []
    for (let round = 0; round < 3; round += 1) {
      await patch('service/podinfo', [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 + round }], 'json')
      const changed = performance.now()
      await eventually(async () => ((await client.get<Ports>(service)).spec.ports[0]?.port === 9898 ? true : undefined), {
        withinMs: 10_000,
        everyMs: 10,
        what: 'the port of the Service is what was signed',
      })
      times.push(performance.now() - changed)
    }
    // The machine may be busy with other things; the promise is about the agent.
    expect(Math.min(...times)).toBeLessThan(1000)
    const event = await correctionEvent('podinfo', /ports/)
    expect(event.note).toMatch(/intruder/)
    expect(event.note).toMatch(/\d{4}-\d\d-\d\dT\d\d:\d\d/)
  })

  it('an owned object that is deleted is back within a second', async () => {
    const before = await client.get(service)
    await client.delete(service)
    const deleted = performance.now()
    const after = await eventually(async () => client.find(service), { withinMs: 10_000, everyMs: 10, what: 'the Service is there again' })
    expect(performance.now() - deleted).toBeLessThan(5000)
    expect(after.metadata.uid).not.toBe(before.metadata.uid)
    await correctionEvent('podinfo', /delet/i)
  })

  it('an annotation that nobody owns is left alone', async () => {
    await patch('service/podinfo', { metadata: { annotations: { 'example.test/note': 'mine' } } })
    // A correction of another field afterwards proves that the agent has seen the object since.
    await patch('service/podinfo', [{ op: 'replace', path: '/spec/ports/0/port', value: 7777 }], 'json')
    const corrected = await eventually(
      async () => {
        const now = await client.get<Ports>(service)
        return now.spec.ports[0]?.port === 9898 ? now : undefined
      },
      { withinMs: 10_000, what: 'the port of the Service is what was signed' },
    )
    expect(corrected.metadata.annotations?.['example.test/note']).toBe('mine')
  })

  it('a container added to a managed pod template goes', async () => {
    const before = await client.get<Workload>(deployment)
    const image = before.spec.template.spec.containers[0]?.image
    await patch('deployment/podinfo', { spec: { template: { spec: { containers: [{ name: 'sidecar', image }] } } } })
    await eventually(
      async () => {
        const names = (await client.get<Workload>(deployment)).spec.template.spec.containers.map((container) => container.name)
        return names.length === 1 ? true : undefined
      },
      { withinMs: 10_000, what: 'the added container is gone' },
    )
    await correctionEvent('podinfo', /sidecar|containers/)
  })

  it('privilege added to a managed pod template goes', async () => {
    await patch('deployment/podinfo', {
      spec: { template: { spec: { hostNetwork: true, containers: [{ name: 'podinfod', securityContext: { privileged: true } }] } } },
    })
    await eventually(
      async () => {
        const { spec } = (await client.get<Workload>(deployment)).spec.template
        return !spec.hostNetwork && spec.containers.every((container) => !container.securityContext?.privileged) ? true : undefined
      },
      { withinMs: 10_000, what: 'no privilege is left' },
    )
  })
})
