import type { GoodVersion, ReleaseSettings } from '@muster/api'
import type { ChannelRelease } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import { entryOfGood, keyOf, obeyRollback } from './rollback.ts'

const digest = (letter: string) => `sha256:${letter.repeat(64)}`
const entry = (letter: string, settings?: ReleaseSettings): ChannelRelease => ({
  name: 'shop',
  bundle: { repository: 'bundles/shop', version: letter, digest: digest(letter), size: 1 },
  namespace: 'shop',
  ...(settings === undefined ? {} : { settings }),
})
const customize = (name: string): ReleaseSettings['customize'] => [{ name, level: 'all', values: { color: name } }]
const good: GoodVersion = {
  key: 'then',
  bundle: { repository: 'bundles/shop', version: 'a', digest: digest('a'), size: 1 },
  namespace: 'then',
  shape: JSON.stringify({ customize: customize('then') }),
}
const failedOf = (bad: ChannelRelease) => ({
  key: keyOf(bad),
  from: { version: 'b', digest: digest('b') },
  to: { version: 'a', digest: digest('a') },
  at: '2030-01-01T00:00:00Z',
  reason: 'Degraded',
  message: '',
})

describe('the version that is taken back', () => {
  it('is shaped as it was then, and granted and bounded as of now', () => {
    const tenant = { name: 'team', grants: [] }
    const now = entry('b', { customize: customize('now'), sealed: { password: 'x' }, tenant, drift: { mode: 'detect' } })
    expect(entryOfGood(now, good)).toEqual({
      name: 'shop',
      bundle: good.bundle,
      namespace: 'then',
      settings: { customize: customize('then'), tenant, drift: { mode: 'detect' } },
    })
  })

  it('is shaped as of now where what shaped it was too large to be kept', () => {
    const { shape: _, ...without } = good
    expect(entryOfGood(entry('b', { customize: customize('now') }), without).settings).toEqual({ customize: customize('now') })
  })

  it('has no settings where it had none and there are none', () => {
    expect(entryOfGood(entry('b'), { ...good, shape: '{}' })).not.toHaveProperty('settings')
  })

  it('is wanted as long as the channel asks for the version that failed, and its placement wants one taken back', () => {
    const bad = entry('b', { customize: customize('now') })
    const state = { good, rollback: failedOf(bad), held: undefined }
    expect(obeyRollback(bad, state)?.bundle.digest).toBe(digest('a'))
    const kept = {
      ...bad,
      settings: { ...bad.settings, drift: { mode: 'detect' as const }, suspend: { reason: 'r' }, prune: { maxShare: 1 } },
    }
    expect(obeyRollback(kept, state)?.bundle.digest).toBe(digest('a'))
    expect(obeyRollback(entry('c', { customize: customize('now') }), state)).toBeUndefined()
    expect(obeyRollback(entry('b', { customize: customize('fixed') }), state)).toBeUndefined()
    expect(obeyRollback({ ...bad, settings: { ...bad.settings, rollout: { onFailure: 'stay' } } }, state)).toBeUndefined()
    expect(obeyRollback(bad, { ...state, rollback: undefined })).toBeUndefined()
  })
})
