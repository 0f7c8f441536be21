import { describe, expect, it } from 'vitest'
import { hooksAmong } from './hooks.ts'

const job = (annotations: Record<string, string>, name = 'migrate') => ({
  where: 'deploy/api.yaml, document 2',
  object: { apiVersion: 'batch/v1', kind: 'Job', metadata: { name, annotations } },
})

describe('the hooks of a bundle', () => {
  it('are listed with when they run and their weight', () => {
    const objects = [job({ 'muster.dev/hook': 'before-upgrade, before-install', 'muster.dev/hook-weight': '-1' }), job({}, 'ordinary')]
    expect(hooksAmong('api', objects)).toEqual([
      { component: 'api', object: 'Job migrate', events: ['before-install', 'before-upgrade'], weight: -1 },
    ])
  })

  it('that say what there is not are refused by place when the bundle is made', () => {
    expect(() => hooksAmong('api', [job({ 'muster.dev/hook': 'sometimes' })])).toThrow(/deploy\/api\.yaml.*sometimes.*on-failure/)
    expect(() => hooksAmong('api', [job({ 'muster.dev/hook': '' })])).toThrow('deploy/api.yaml')
    expect(() => hooksAmong('api', [job({ 'muster.dev/hook': 'on-failure', 'muster.dev/hook-weight': 'heavy' })])).toThrow('heavy')
    expect(() => hooksAmong('api', [job({ 'muster.dev/hook': 'on-failure', 'muster.dev/hook-delete-policy': 'never' })])).toThrow('never')
  })
})
