import { describe, expect, it } from 'vitest'
import { resourcePath } from './resource-path.ts'

const deployments = { plural: 'deployments', namespaced: true, verbs: [], subresources: [] }
const nodes = { plural: 'nodes', namespaced: false, verbs: [], subresources: [] }

describe('resourcePath', () => {
  it('builds the paths of objects, collections and subresources', () => {
    const apps = { apiVersion: 'apps/v1', resource: deployments }
    expect(resourcePath({ ...apps, namespace: 'a', name: 'web' })).toBe('/apis/apps/v1/namespaces/a/deployments/web')
    expect(resourcePath({ ...apps, namespace: 'a', name: 'web', subresource: 'status' })).toBe(
      '/apis/apps/v1/namespaces/a/deployments/web/status',
    )
    expect(resourcePath(apps, { limit: 5, continue: '' })).toBe('/apis/apps/v1/deployments?limit=5')
    expect(resourcePath({ apiVersion: 'v1', resource: nodes, namespace: 'a', name: 'n' })).toBe('/api/v1/nodes/n')
  })

  it('lets no name lead elsewhere', () => {
    const path = (name: string) => resourcePath({ apiVersion: 'v1', resource: nodes, name })
    expect(path('a/../b?c#d')).toBe('/api/v1/nodes/a%2F..%2Fb%3Fc%23d')
    for (const name of ['', '.', '..', 'x'.repeat(1025)]) expect(() => path(name)).toThrow(expect.objectContaining({ code: 'Invalid' }))
    for (const apiVersion of ['', '../v1', 'a/b/c', 'v1?x', '/v1']) {
      expect(() => resourcePath({ apiVersion, resource: nodes })).toThrow(expect.objectContaining({ code: 'Invalid' }))
    }
  })
})
