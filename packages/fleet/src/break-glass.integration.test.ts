import { randomBytes } from 'node:crypto'
import { apiVersion, breakGlassKind, customResourceDefinition, releaseKind } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { breakGlass, endBreakGlass } from './break-glass.ts'

const id = randomBytes(4).toString('hex')
const [shop, typed] = [`shop-${id}`, `shpo-${id}`]
const wait = { signal: new AbortController().signal, deadlineMs: 3_600_000 }
const unknown = {
  code: 'UnknownRelease',
  message: expect.stringContaining(`There is no release "${typed}" in this cluster. Is it ${shop}`),
}

let member: KubeClient

beforeAll(async () => {
  member = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'break-glass-test' })
  for (const kind of [releaseKind, breakGlassKind])
    await member.apply(customResourceDefinition(kind) as KubeObject, { fieldManager: 'break-glass-test', force: true })
  await vi.waitFor(() => Promise.all(['Release', 'BreakGlass'].map((kind) => member.list({ apiVersion, kind }))), { timeout: 60_000 })
  // No agent looks at it: it bears no cluster's name.
  const spec = { bundle: { repository: 'bundles/shop', version: '1.0.0', digest: `sha256:${'1'.repeat(64)}` }, channelGeneration: 1 }
  await member.create({ apiVersion, kind: 'Release', metadata: { name: shop }, spec } as KubeObject)
})

afterAll(async () => {
  await member.delete({ apiVersion, kind: 'Release', name: shop })
  member.close()
})

describe('breaking glass for a release that is not there', () => {
  it('is refused at once, with the names that there are, and nothing is written', async () => {
    await expect(breakGlass(member, typed, ['{}'], wait)).rejects.toMatchObject(unknown)
    expect(await member.find({ apiVersion, kind: 'BreakGlass', name: typed })).toBeUndefined()
  })

  it('cannot be ended either; what somebody asked for before the release was taken away can', async () => {
    await expect(endBreakGlass(member, typed, wait)).rejects.toMatchObject(unknown)
    const asked = { apiVersion, kind: 'BreakGlass', metadata: { name: typed }, spec: { signatures: ['{}'] } }
    await member.create(asked as KubeObject)
    expect(await endBreakGlass(member, typed, wait)).toBe(false)
    expect(await member.find({ apiVersion, kind: 'BreakGlass', name: typed })).toBeUndefined()
  })
})
