import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { administer } from '../../testing/administration.ts'
import { age } from '../../testing/age.ts'
import { chunks, describeBlob, failure, noise, pushImage } from '../../testing/content.ts'
import { basic, startRegistry, writer } from '../../testing/registry.ts'

const kib = 1024
const quotas = [{ repositories: 'team/**', bytes: 100 * kib }]
const uploadsIn = (root: string) => readdir(join(root, 'uploads'))

describe('a quota', () => {
  it('lets in what fits and refuses the rest with a sentence, and nothing half stored', async () => {
    const registry = await startRegistry({ quotas })
    const repository = registry.client().repository('team/app')
    await pushImage(repository, 1, { tag: '1.0', bytes: 60 * kib })
    const large = noise(60 * kib, 2)
    await expect(repository.putBlob(describeBlob(large), () => chunks(large))).rejects.toMatchObject({
      code: 'Denied',
      message: expect.stringMatching(/DENIED: the quota of team\/\*\* is 102400 bytes, of which \d+ are taken: 61440 more do not fit/),
    })
    expect(await repository.hasBlob(describeBlob(large))).toBe(false)
    expect(await uploadsIn(registry.root)).toEqual([])
    await pushImage(registry.client().repository('other/app'), 3, { bytes: 200 * kib })
    await pushImage(repository, 4, { tag: '2.0', bytes: 20 * kib })
  })

  it('cannot be passed by pushing in parts, in parallel, of unknown length, or by taking over', async () => {
    const registry = await startRegistry({ quotas })
    const client = registry.client()
    const parallel = await Promise.all(
      [1, 2, 3, 4].map((seed) => {
        const bytes = noise(40 * kib, seed)
        return failure(client.repository(`team/p${seed}`).putBlob(describeBlob(bytes), () => chunks(bytes)))
      }),
    )
    expect(parallel.filter((code) => code === 'Denied')).toHaveLength(2)
    const begun = await registry.raw('POST', '/v2/team/app/blobs/uploads/')
    const location = begun.headers.get('location') ?? ''
    const streamed = await fetch(`${registry.server.url}${location}`, {
      method: 'PATCH',
      headers: { authorization: basic(writer) },
      body: new ReadableStream({
        start: (controller) => {
          for (let at = 0; at < 4; at += 1) controller.enqueue(noise(16 * kib, at))
          controller.close()
        },
      }),
      duplex: 'half',
    } as RequestInit)
    expect(streamed.status).toBe(403)
    expect(await uploadsIn(registry.root)).toEqual([])
    const outside = noise(50 * kib, 9)
    await client.repository('other/app').putBlob(describeBlob(outside), () => chunks(outside))
    expect(await failure(client.repository('team/app').mount(describeBlob(outside), 'other/app'))).toBe('Denied')
    const whole = await fetch(`${registry.server.url}/v2/team/app/blobs/uploads/?digest=${describeBlob(outside).digest}`, {
      method: 'POST',
      headers: { authorization: basic(writer) },
      body: new Blob([outside]).stream(),
      duplex: 'half',
    } as RequestInit)
    expect(whole.status).toBe(411)
    expect(await uploadsIn(registry.root)).toEqual([])
  })

  it('counts what several repositories hold once, and room that was made', async () => {
    const registry = await startRegistry({ quotas, garbage: { intervalMs: 0, graceMs: 1000 } })
    const client = registry.client()
    const shared = noise(60 * kib, 1)
    await client.repository('team/a').putBlob(describeBlob(shared), () => chunks(shared))
    expect(await client.repository('team/b').mount(describeBlob(shared), 'team/a')).toBe(true)
    const { json } = await administer(registry, 'GET', 'usage')
    expect(json).toMatchObject({
      quotas: [{ repositories: 'team/**', bytes: 100 * kib, used: 60 * kib }],
      content: { count: 1, bytes: 60 * kib },
    })
    const more = noise(60 * kib, 2)
    expect(await failure(client.repository('team/a').putBlob(describeBlob(more), () => chunks(more)))).toBe('Denied')
    await age(registry.root)
    expect((await administer(registry, 'POST', 'gc')).json).toMatchObject({ removed: 1 })
    await client.repository('team/a').putBlob(describeBlob(more), () => chunks(more))
  })
})
