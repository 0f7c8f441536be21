import { describe, expect, it } from 'vitest'
import { metricsText } from './metrics.ts'
import { Probes } from './probes.ts'

const view = (kind: string, size: number, lastActivityMs: number) => ({
  selection: { apiVersion: 'v1', kind, labelSelector: 'muster.dev/release' },
  size,
  synced: true,
  lastActivityMs,
})
const state = { generation: 7, askedMs: 1_500, releases: { ready: 2, other: 1 }, cacheWritable: true, residentBytes: 1_000 }

describe('what the agent tells of itself', () => {
  it('is the age of each watch and what it knows, in a form that Prometheus reads', () => {
    const text = metricsText({ ...state, views: [view('Secret', 3, Number.POSITIVE_INFINITY), view('ConfigMap', 20, 2_000)] })
    expect(text.split('\n')).toEqual([
      '# HELP muster_agent_watch_age_seconds Time since the API server last said something of what is watched.',
      '# TYPE muster_agent_watch_age_seconds gauge',
      'muster_agent_watch_age_seconds{apiVersion="v1",kind="ConfigMap",namespace="",selector="muster.dev/release"} 2',
      'muster_agent_watch_age_seconds{apiVersion="v1",kind="Secret",namespace="",selector="muster.dev/release"} +Inf',
      '# HELP muster_agent_watch_objects Objects that are known by a watch.',
      '# TYPE muster_agent_watch_objects gauge',
      'muster_agent_watch_objects{apiVersion="v1",kind="ConfigMap",namespace="",selector="muster.dev/release"} 20',
      'muster_agent_watch_objects{apiVersion="v1",kind="Secret",namespace="",selector="muster.dev/release"} 3',
      '# HELP muster_agent_channel_generation Generation of the newest channel that was accepted.',
      '# TYPE muster_agent_channel_generation gauge',
      'muster_agent_channel_generation 7',
      '# HELP muster_agent_channel_asked_seconds Time since the channel was last asked for.',
      '# TYPE muster_agent_channel_asked_seconds gauge',
      'muster_agent_channel_asked_seconds 1.5',
      '# HELP muster_agent_releases Releases that are installed or wanted.',
      '# TYPE muster_agent_releases gauge',
      'muster_agent_releases{ready="true"} 2',
      'muster_agent_releases{ready="false"} 1',
      '# HELP muster_agent_cache_writable Whether the disk took what was pulled last.',
      '# TYPE muster_agent_cache_writable gauge',
      'muster_agent_cache_writable 1',
      '# HELP process_resident_memory_bytes Resident memory.',
      '# TYPE process_resident_memory_bytes gauge',
      'process_resident_memory_bytes 1000',
      '',
    ])
  })

  it('is answered beside the probes, and nothing else is', async () => {
    const options = { host: '127.0.0.1', port: 0, ready: () => true, alive: () => false }
    const probes = new Probes({ ...options, metrics: () => metricsText({ ...state, views: [] }) })
    await probes.listen()
    const ask = async (path: string) => fetch(`http://127.0.0.1:${probes.port}${path}`)
    const metrics = await ask('/metrics')
    expect([metrics.status, metrics.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
    expect(await metrics.text()).toContain('muster_agent_channel_generation 7')
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status, (await ask('/')).status]).toEqual([503, 200, 404])
    probes.close()
  })
})
