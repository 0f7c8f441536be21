import { rm } from 'node:fs/promises'
import { apiVersion, type Release } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, type Outcome, run } from '../environment/command.ts'
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

const place = (mode: string) => instance.succeed('place', 'podinfo', '--on', 'alpha,bravo', '--drift', mode)
const kubectl = (...args: string[]) => instance.muster('kubectl', 'alpha', '--', '-n', 'podinfo', ...args)
const refused = (outcome: Outcome, what: RegExp): void => {
  expect(outcome.code).not.toBe(0)
  expect(outcome.stderr).toMatch(what)
}

describe('the write guard, which a release has where nobody says otherwise', () => {
  afterAll(() => instance.muster('break-glass', 'podinfo', '--cluster', 'alpha', '--end'))

  it('refuses kubectl edit, and says whose it is, which field, who may and how to break glass', async () => {
    const env = { ...process.env, MUSTER_INSTANCE: instance.id, MUSTER_STATE: instance.state, KUBE_EDITOR: 'sed -i s/9898/1234/' }
    const edited = await run('./muster', ['kubectl', 'alpha', '--', '-n', 'podinfo', 'edit', 'service', 'podinfo'], { env })
    refused(
      edited,
      /Release podinfo of cluster alpha sets what you change \(spec\.ports of services podinfo\)\. Only the agent \(system:serviceaccount:muster-system:muster-agent\) may change it.*muster break-glass podinfo --cluster alpha --for 30m --reason/s,
    )
    const [copy] = /\/\S+kubectl-edit-\S+?\.yaml/.exec(edited.stderr) ?? []
    if (copy !== undefined) await rm(copy, { force: true })
  })

  it('refuses another image, a sidecar and a deletion, and lets be what nobody signed: an annotation, a restart', async () => {
    refused(await kubectl('set', 'image', 'deployment/podinfo', 'podinfod=registry.example/other:1'), /Only the agent/)
    const sidecar = JSON.stringify({
      spec: { template: { spec: { containers: [{ name: 'sidecar', image: 'registry.example/other:1' }] } } },
    })
    refused(await kubectl('patch', 'deployment', 'podinfo', '-p', sidecar), /alone says what stands in the part/)
    refused(await kubectl('delete', 'service', 'podinfo'), /which you delete/)
    expect(await kubectl('annotate', 'service', 'podinfo', 'example.test/seen=yes')).toMatchObject({ code: 0 })
    expect(await kubectl('rollout', 'restart', 'deployment', 'podinfo')).toMatchObject({ code: 0 })
    expect(await kubectl('rollout', 'status', 'deployment', 'podinfo', '--timeout=120s')).toMatchObject({ code: 0 })
  })

  it('is opened by a signed word for a time, which everybody sees, and what was changed is put back', async () => {
    const glass = ['break-glass', 'podinfo', '--cluster', 'alpha']
    expect(await instance.succeed(...glass, '--for', '10m', '--reason', 'orders fail')).toMatch(/podinfo in alpha is open until/)
    await eventually(
      async () =>
        (await kubectl('patch', 'service', 'podinfo', '-p', '{"spec":{"ports":[{"port":9898,"name":"http"}]}}', '--dry-run=server'))
          .code === 0
          ? true
          : undefined,
      {
        withinMs: 10_000,
        what: 'the API server lets writes pass',
      },
    )
    await patch('service/podinfo', [{ op: 'replace', path: '/spec/ports/0/port', value: 7070 }], 'json')
    await eventually(async () => (/podinfo +6[^\n]+present/.test(await instance.succeed('status')) ? true : undefined), {
      withinMs: 20_000,
      everyMs: 500,
      what: 'status shows that it differs',
    })
    expect(await instance.succeed('status')).toMatch(/alpha\/podinfo: open to others until .* \(orders fail\)/)
    const explained = await instance.succeed('release', 'explain', 'podinfo', '--cluster', 'alpha')
    expect(explained.replaceAll(/\s+/g, ' ')).toMatch(/broke glass for it \(orders fail\)/)
    expect(await instance.succeed('break-glass', '--cluster', 'alpha')).toMatch(/podinfo +Open .*publisher .*orders fail/)
    expect((await client.get<Ports>(service)).spec.ports[0]?.port).toBe(7070)
    expect(await instance.succeed(...glass, '--end')).toMatch(/closed again/)
    await eventually(async () => ((await client.get<Ports>(service)).spec.ports[0]?.port === 9898 ? true : undefined), {
      withinMs: 10_000,
      what: 'the port of the Service is what was signed',
    })
    const { status } = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    expect(status?.breakGlass).toMatchObject({ reason: 'orders fail', signedBy: ['publisher'] })
    expect(status?.breakGlass?.endedAt).toBeDefined()
    expect(await instance.succeed('break-glass', '--cluster', 'alpha')).toMatch(/Nothing is open/)
  })
})

describe('drift', () => {
  beforeAll(async () => {
    await place('correct')
    const probe = '{"metadata":{"labels":{"muster.dev/guard":null}}}'
    await eventually(
      async () => ((await kubectl('patch', 'service', 'podinfo', '-p', probe, '--dry-run=server')).code === 0 ? true : undefined),
      {
        withinMs: 30_000,
        what: 'podinfo is not guarded',
      },
    )
  })
  afterAll(() => place('prevent'))

  it('an owned field changed by hand is back at once, with an event that says what, when and which field manager', async () => {
    for (let round = 0; round < 3; round += 1) {
      await patch('service/podinfo', [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 + round }], 'json')
      await eventually(async () => ((await client.get<Ports>(service)).spec.ports[0]?.port === 9898 ? true : undefined), {
        withinMs: 10_000,
        everyMs: 10,
        what: 'the port of the Service is what was signed',
      })
    }
    const event = await correctionEvent('podinfo', /ports/)
    expect(event.note).toMatch(/intruder/)
    expect(event.note).toMatch(/\d{4}-\d\d-\d\dT\d\d:\d\d/)
  })

  it('an owned object that is deleted is back at once', async () => {
    const before = await client.get(service)
    await client.delete(service)
    const after = await eventually(async () => client.find(service), { withinMs: 10_000, everyMs: 10, what: 'the Service is there again' })
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
