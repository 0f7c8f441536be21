import { apiVersion, type Release } from '@muster/api'
import type { FleetStatus } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
let alpha: KubeClient
const service = { apiVersion: 'v1', kind: 'Service', namespace: 'podinfo', name: 'podinfo' }

async function channelUnreadable(): Promise<{ since: string; reason: string } | undefined> {
  const fleet = JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
  return fleet.clusters.find((cluster) => cluster.name === 'alpha')?.channelUnreadable
}

beforeAll(async () => {
  alpha = await instance.client('alpha')
  await instance.succeed('place', 'podinfo', '--on', 'alpha,bravo', '--drift', 'correct')
})

afterAll(async () => {
  await instance.succeed('component', 'start', 'registry')
  await instance.succeed('place', 'podinfo', '--on', 'alpha,bravo', '--drift', 'prevent')
})

describe('with the registry down', () => {
  it('nothing is deleted, drift is still corrected, and status says since when', async () => {
    const before = await alpha.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    const stopped = new Date()
    await instance.succeed('component', 'stop', 'registry')

    const outage = await eventually(channelUnreadable, {
      withinMs: 60_000,
      everyMs: 500,
      what: 'status tells that the channel is unreadable',
    })
    expect(Date.parse(outage.since)).toBeGreaterThanOrEqual(stopped.getTime() - 2000)
    expect(outage.reason).toBe('Unreachable')
    expect(await instance.succeed('status')).toContain(outage.since)

    await instance.succeed(
      'kubectl',
      'alpha',
      '--',
      '-n',
      'podinfo',
      'patch',
      'service/podinfo',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/ports/0/port","value":7001}]',
    )
    await eventually(
      async () => {
        const now = await alpha.get<KubeObject & { spec: { ports: { port: number }[] } }>(service)
        return now.spec.ports[0]?.port === 9898 ? true : undefined
      },
      { withinMs: 10_000, what: 'the port of the Service is what was signed' },
    )
    const after = await alpha.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    expect(after.status?.inventory).toEqual(before.status?.inventory)
    for (const entry of after.status?.inventory ?? []) expect(await alpha.find(entry), `${entry.kind} ${entry.name}`).toBeDefined()
  })

  it('and when it is back, status no longer complains, without anybody doing anything', async () => {
    await instance.succeed('component', 'start', 'registry')
    await eventually(async () => ((await channelUnreadable()) ? undefined : true), {
      withinMs: 60_000,
      everyMs: 500,
      what: 'the channel is readable',
    })
  })
})
