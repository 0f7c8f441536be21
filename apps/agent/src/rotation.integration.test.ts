import { randomBytes } from 'node:crypto'
import type { ClusterReport } from '@muster/api'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`

let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

beforeAll(async () => {
  ;({ fleet, agent, end } = await startCluster(id))
  // Each is due for renewal as soon as it is there.
  fleet.identityDays = 60 / 86_400
  agent.start()
})

afterAll(async () => end(shop))

async function bring(version: string): Promise<ClusterReport> {
  const manifest = `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  version: "${version}"\n`
  await fleet.channel([await fleet.publish(shop, version, manifest)])
  return fleet.reported(({ releases: [release] }) => release?.version === version && release.ready)
}

/** Waits until the agent has had so many new identities. */
async function renewed(times: number): Promise<void> {
  const wanted = fleet.issued + times
  await eventually(async () => fleet.issued >= wanted)
}

describe('pain 7, agent certificates and CA rotate, and agents are cut off', () => {
  it('does not come about: a running agent renews, and follows the hub to another authority, with no hand and no restart', async () => {
    await bring('1.0.0')
    await renewed(2)
    await bring('1.1.0')
    await fleet.changeAuthority('both')
    // The first renewal brings both authorities, the next is issued by the new one to who trusts it.
    await renewed(2)
    await bring('1.2.0')
    await fleet.changeAuthority('new')
    await renewed(1)
    expect((await bring('1.3.0')).channelUnreadable).toBeUndefined()
  })

  it('does not come about by a restart either: what was renewed is what it starts with', async () => {
    await agent.end()
    const before = fleet.reports.length
    agent.start()
    await fleet.reported(() => fleet.reports.length > before)
    await bring('1.4.0')
    await renewed(1)
  })
})
