import type { KubeObject } from '@muster/kube'
import type { Preview } from '@muster/reconcile'
import { describe, expect, it } from 'vitest'
import { releaseDiffText } from './release-diff.ts'

const object = (kind: string, name: string, content: object): KubeObject => ({
  apiVersion: kind === 'Deployment' ? 'apps/v1' : 'v1',
  kind,
  metadata: { name, namespace: 'shop', resourceVersion: '7', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
  ...content,
})

const preview = (what: Preview['what'], before?: KubeObject, after?: KubeObject, more: Partial<Preview> = {}): Preview => {
  const { apiVersion, kind, metadata } = (after ?? before) as KubeObject
  return {
    ref: { apiVersion, kind, name: metadata.name, namespace: 'shop' },
    what,
    ...(before && { before }),
    ...(after && { after }),
    ...more,
  }
}

describe('the difference that a version would make', () => {
  it('is told object by object and field by field, with what is adopted, recreated, removed and refused', () => {
    const objects = [
      preview('Changed', object('Deployment', 'web', { spec: { replicas: 2 } }), object('Deployment', 'web', { spec: { replicas: 3 } })),
      preview('Created', undefined, object('ConfigMap', 'new', { data: { a: '1' } })),
      preview('Adopted', object('ConfigMap', 'old', { data: { a: '1' } }), object('ConfigMap', 'old', { data: { a: '2' } })),
      preview('Recreated', undefined, object('Service', 'db', {})),
      preview('Removed', object('ConfigMap', 'past', {})),
      preview('Refused', undefined, object('Service', 'api', {}), { code: 'Conflict', message: 'manager "operator" owns .spec.type' }),
      preview('Same', object('ConfigMap', 'same', {}), object('ConfigMap', 'same', {})),
    ]
    expect(
      releaseDiffText({ name: 'shop', cluster: 'alpha', from: '1.0.0', to: '1.1.0', objects, hooks: ['before-upgrade Job shop/migrate'] }),
    ).toBe(
      [
        'shop in alpha: 1.0.0 → 1.1.0',
        '  ~ Deployment shop/web',
        '      spec.replicas: 2 → 3',
        '  + ConfigMap shop/new',
        '  ~ ConfigMap shop/old (adopted: it was there before and is the release’s from then on)',
        '      data.a: 1 → 2',
        '  ± Service shop/db (deleted and made again: it cannot be changed like this)',
        '  - ConfigMap shop/past (removed once the new version is healthy)',
        '  ! Service shop/api (Conflict: manager "operator" owns .spec.type)',
        '  > before-upgrade Job shop/migrate (a hook: it runs once for this)',
        '  1 object stays as it is.',
      ].join('\n'),
    )
  })

  it('never shows the value of a secret, only that it would be another', () => {
    const secret = (password: string) => object('Secret', 'login', { data: { password } })
    const text = releaseDiffText({
      name: 'shop',
      cluster: 'alpha',
      from: '1',
      to: '1',
      objects: [preview('Changed', secret('b25l'), secret('dHdv'))],
      hooks: [],
    })
    expect(text).toContain('data.password: changed')
    expect(text).not.toMatch(/b25l|dHdv/)
  })
})
