import type { ChannelRelease } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import { CarriedReleases } from './carried.ts'

const entry = (name: string, settings?: ChannelRelease['settings']): ChannelRelease => ({
  name,
  bundle: { repository: `bundles/${name}`, version: '1.0.0', digest: `sha256:${'1'.repeat(64)}`, size: 1 },
  ...(settings === undefined ? {} : { settings }),
})

describe('what a channel says of a release', () => {
  const carried = new CarriedReleases()
  const publish = (generation: number, ...releases: ChannelRelease[]) => carried.published({ cluster: 'alpha', generation, releases })

  it('holds since the first generation that said it, whatever else changed', () => {
    publish(3, entry('shop'))
    publish(4, entry('shop'), entry('other'))
    expect(carried.since('alpha', entry('shop'))).toBe(3)
    expect(carried.since('alpha', entry('other'))).toBe(4)
  })

  it('is not said before its settings are', () => {
    const slow = entry('shop', { drift: { mode: 'detect' } })
    expect(carried.since('alpha', slow)).toBeUndefined()
    publish(5, slow)
    expect(carried.since('alpha', slow)).toBe(5)
    expect(carried.since('alpha', entry('shop'))).toBeUndefined()
  })

  it('is nothing in a cluster that has no channel, or has none any more', () => {
    expect(carried.since('bravo', entry('shop'))).toBeUndefined()
    carried.forget('alpha')
    expect(carried.since('alpha', entry('shop', { drift: { mode: 'detect' } }))).toBeUndefined()
  })
})
