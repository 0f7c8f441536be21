import type { DependencyState } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { RemoteReleases } from './remote-releases.ts'

const at = (seconds: number) => new Date(Date.UTC(2030, 0, 1, 0, 0, seconds))
const state: DependencyState = {
  cluster: 'alpha',
  release: 'db',
  ready: true,
  reason: 'Ready',
  message: 'Version 1 is ready.',
  observedAt: at(0).toISOString(),
  ageSeconds: 5,
}
const standing = (remote: RemoteReleases, seconds: number) => remote.standing('alpha', 'db', 7, at(seconds))

describe('a release of another cluster', () => {
  it('is ready when the hub says so, and as long as that is fresh: then it is unknown, and since when', () => {
    const remote = new RemoteReleases(at(0))
    remote.take([state], 7, at(10))
    expect(standing(remote, 10)).toEqual({ ready: true, cycle: false, message: 'Ready: Version 1 is ready.' })
    expect(standing(remote, 65)).toMatchObject({ ready: true })
    expect(standing(remote, 66)).toMatchObject({ ready: false, message: expect.stringContaining(`unknown since ${at(0).toISOString()}`) })
    expect(standing(remote, 71)).toMatchObject({
      ready: false,
      message: `unknown since ${at(10).toISOString()}: the hub does not answer`,
    })
  })

  it('is unknown before the hub has answered, and when the hub has not heard of it', () => {
    const remote = new RemoteReleases(at(0))
    expect(standing(remote, 1)).toMatchObject({ ready: false, message: expect.stringContaining('the hub has not answered') })
    remote.take([], 7, at(2))
    expect(standing(remote, 2)).toMatchObject({ ready: false, message: 'the hub does not know yet that it is depended on' })
  })

  it('is unknown when the hub has not answered under the channel that depends on it: what it said may be of what was wanted before', () => {
    const remote = new RemoteReleases(at(0))
    remote.take([state], 6, at(1))
    expect(standing(remote, 2)).toMatchObject({
      ready: false,
      message: `unknown since ${at(1).toISOString()}: the hub has not answered since generation 7 of the channel came`,
    })
    expect(remote.take([state], 7, at(3))).toBe(true)
    expect(standing(remote, 3)).toMatchObject({ ready: true })
  })

  it('is unknown when the clock was set back by more than its answer may be old', () => {
    const remote = new RemoteReleases(at(0))
    remote.take([state], 7, at(3600))
    expect(standing(remote, 0)).toMatchObject({ ready: false })
  })

  it('that is no longer spoken of is forgotten, and only what matters counts as a change', () => {
    const remote = new RemoteReleases(at(0))
    expect(remote.take([state], 7, at(1))).toBe(true)
    expect(remote.take([{ ...state, ageSeconds: 1, observedAt: at(5).toISOString() }], 7, at(2))).toBe(false)
    expect(remote.take([{ ...state, ready: false, reason: 'NotReady' }], 7, at(3))).toBe(true)
    expect(remote.take([], 7, at(4))).toBe(true)
    expect(standing(remote, 4)).toMatchObject({ ready: false })
  })
})
