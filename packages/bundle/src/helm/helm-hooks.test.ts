import { describe, expect, it } from 'vitest'
import { mapHook } from './helm-hooks.ts'

const job = (annotations?: Record<string, string>) => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'x', ...(annotations && { annotations }) },
})
const hook = (events: string, more: Record<string, string> = {}) => mapHook(job({ 'helm.sh/hook': events, ...more }), 'a.yaml')

describe("a hook of Helm's", () => {
  it('of installing and upgrading stays, with annotations of its own', () => {
    expect(
      hook('post-install, pre-upgrade,test', { 'helm.sh/hook-weight': '-5', 'helm.sh/hook-delete-policy': 'hook-succeeded' }),
    ).toMatchObject({
      kind: 'kept',
      object: {
        metadata: {
          annotations: {
            'helm.sh/hook': 'post-install, pre-upgrade,test',
            'muster.dev/hook': 'after-install,before-upgrade',
            'muster.dev/hook-weight': '-5',
            'muster.dev/hook-delete-policy': 'hook-succeeded',
          },
        },
      },
    })
  })

  it.each(['test', 'test-success', 'test-failure', 'pre-delete', 'post-rollback,test'])(
    'of %s is left out, and the reason said',
    (events) => {
      expect(hook(events)).toMatchObject({ kind: 'left out', why: expect.stringContaining('hook') })
    },
  )

  it('that Helm does not know, or with a weight that is none, is refused by place', () => {
    expect(() => hook('sometimes')).toThrow('a.yaml')
    expect(() => hook('')).toThrow('no hook of Helm')
    expect(() => hook('pre-install', { 'helm.sh/hook-weight': 'heavy' })).toThrow('weight')
    expect(() => hook('pre-install', { 'helm.sh/hook-delete-policy': 'never' })).toThrow('delete-policy')
  })

  it('is none where there is no annotation', () => {
    expect(mapHook(job(), 'a.yaml')).toBeUndefined()
    expect(hook('crd-install')).toBeUndefined()
  })
})
