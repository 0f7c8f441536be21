import { KubeError, type KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { registryAccessOf } from './registry-access.ts'

const shared = { host: 'registry.example:5000', ca: 'CA', username: 'reader', password: 'shared' }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secret = (labels: Record<string, string>, data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'registry-alpha', namespace: 'muster-system', labels },
  data,
})
const access = (found: KubeObject | undefined) =>
  registryAccessOf({ find: (async () => found) as never }, 'muster-system', shared)('alpha', new AbortController().signal)
const own = { username: base64('cluster-alpha'), password: base64('token') }

describe('what a cluster reads the registry with', () => {
  it('is its own token', async () => {
    expect(await access(secret({ 'muster.dev/registry': 'true' }, own))).toEqual({
      ...shared,
      username: 'cluster-alpha',
      password: 'token',
    })
  })

  it('is the shared account where it has none, or what is there is something else', async () => {
    expect(await access(undefined)).toEqual(shared)
    expect(await access(secret({}, own))).toEqual(shared)
    expect(await access(secret({ 'muster.dev/registry': 'true' }, { username: own.username }))).toEqual(shared)
  })

  it('is not the shared account because the API server did not answer', async () => {
    const find = (async () => {
      throw new KubeError('Unreachable', 'gone')
    }) as never
    await expect(registryAccessOf({ find }, 'muster-system', shared)('alpha', new AbortController().signal)).rejects.toThrow('gone')
  })
})
