import { randomBytes } from 'node:crypto'
import { apiVersion, customResourceDefinition, releaseKind } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { runHere } from '../testing/run.ts'

const id = randomBytes(4).toString('hex')
const [shop, typed] = [`shop-${id}`, `shpo-${id}`]
const kubeconfig = inject('kubeconfig')

let member: KubeClient

beforeAll(async () => {
  member = new KubeClient(await loadKubeconfig(kubeconfig), { userAgent: 'break-glass-test' })
  await member.apply(customResourceDefinition(releaseKind) as KubeObject, { fieldManager: 'break-glass-test', force: true })
  await vi.waitFor(() => member.list({ apiVersion, kind: 'Release' }), { timeout: 60_000 })
  // No agent looks at it: it bears no cluster's name.
  const spec = { bundle: { repository: 'bundles/shop', version: '1.0.0', digest: `sha256:${'1'.repeat(64)}` }, channelGeneration: 1 }
  await member.create({ apiVersion, kind: 'Release', metadata: { name: shop }, spec } as KubeObject)
})

afterAll(async () => {
  await member.delete({ apiVersion, kind: 'Release', name: shop })
  member.close()
})

describe('muster break-glass for a release that is not there', () => {
  it.each([
    ['to open it: before anybody is asked for a key', ['--for', '30m', '--reason', 'x', '--key', '/nonexistent/key']],
    ['to approve it', ['--approve', '--key', '/nonexistent/key']],
    ['to close it', ['--end']],
  ])('says so at once, and which there are, %s: exit code 1', async (_title, args) => {
    const { code, err } = await runHere('break-glass', typed, '--cluster', 'alpha', '--kubeconfig', kubeconfig, ...args)
    expect(err).toContain(`There is no release "${typed}" in this cluster. Is it ${shop}`)
    expect(code).toBe(1)
  })
})
