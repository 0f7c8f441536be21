import { appendFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { administer } from '../../testing/administration.ts'
import { failure, pushImage } from '../../testing/content.ts'
import { reader, startRegistry, temporaryDirectory } from '../../testing/registry.ts'
import { AuditLog, type AuditRecord } from './audit.ts'

const records = async (registry: Awaited<ReturnType<typeof startRegistry>>): Promise<AuditRecord[]> => {
  // Records are written when an answer has left; the answer to this request comes after them.
  const { json } = await administer(registry, 'GET', 'audit?limit=1000')
  return (json as { records: AuditRecord[] }).records
}

describe('the audit', () => {
  it('says who changed what, when and from where, and what was refused; nothing of reading', async () => {
    const registry = await startRegistry({ now: () => Date.parse('2030-01-01T00:00:00Z') })
    const repository = registry.client().repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    await repository.resolve('1.0')
    await repository.deleteManifest('1.0')
    expect(await failure(registry.client(reader).repository('team/app').deleteManifest(image.digest))).toBe('Denied')
    const common = { time: '2030-01-01T00:00:00.000Z', from: '127.0.0.1', repository: 'team/app' }
    await expect.poll(async () => (await records(registry)).length).toBe(5)
    const found = await records(registry)
    expect(found.slice(0, 2)).toEqual(Array(2).fill(expect.objectContaining({ ...common, who: 'writer', action: 'put blob', status: 201 })))
    expect(found.slice(2)).toEqual([
      { ...common, who: 'writer', action: 'put manifest', reference: '1.0', digest: image.digest, status: 201 },
      { ...common, who: 'writer', action: 'delete manifest', reference: '1.0', status: 202 },
      { ...common, who: 'reader', action: 'delete manifest', reference: image.digest, digest: image.digest, status: 403 },
    ])
  })

  it('is kept in files of bounded size and number, and goes on after a restart and a cut line', async () => {
    const directory = await temporaryDirectory()
    const limits = { fileBytes: 1000, files: 3 }
    const record = (at: number) => ({
      time: '2030-01-01T00:00:00.000Z',
      who: 'writer',
      from: '::1',
      action: 'put manifest',
      reference: String(at),
    })
    const failed: unknown[] = []
    const first = await AuditLog.open(directory, limits, (error) => failed.push(error))
    for (let at = 0; at < 50; at += 1) {
      first.record(record(at))
      await first.flush()
    }
    await first.close()
    await appendFile(join(directory, 'audit.log'), '{"time":"20')
    expect((await readdir(directory)).sort()).toEqual(['audit.log', 'audit.log.1', 'audit.log.2'])
    for (const name of await readdir(directory)) expect((await readFile(join(directory, name))).length).toBeLessThanOrEqual(1100)
    const second = await AuditLog.open(directory, limits, (error) => failed.push(error))
    second.record(record(50))
    expect((await second.tail(3)).map(({ reference }) => reference)).toEqual(['48', '49', '50'])
    await second.close()
    expect(failed).toEqual([])
  })
})

describe('the metrics', () => {
  it('count requests and bytes, and tell what is stored, for those who may read them', async () => {
    const registry = await startRegistry({ quotas: [{ repositories: 'team/**', bytes: 1_000_000 }] })
    await pushImage(registry.client().repository('team/app'), 1, { tag: '1.0', bytes: 5000 })
    await administer(registry, 'POST', 'gc')
    const text = await (await registry.raw('GET', '/metrics')).text()
    expect(text).toMatch(/^muster_registry_requests_total\{route="manifest",method="PUT",code="201"\} 1$/m)
    expect(text).toMatch(/^muster_registry_request_seconds_count\{route="manifest"\} [0-9]+$/m)
    expect(text).toMatch(/^muster_registry_quota_limit_bytes\{repositories="team\/\*\*"\} 1000000$/m)
    expect(text).toMatch(/^muster_registry_gc_runs_total [1-9]/m)
    expect(Number(/^muster_registry_received_bytes_total ([0-9]+)$/m.exec(text)?.[1])).toBeGreaterThan(5000)
    expect(Number(/^muster_registry_storage_bytes ([0-9]+)$/m.exec(text)?.[1])).toBeGreaterThan(5000)
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^(?:# (?:HELP|TYPE) \S+ .+|[a-z_]+(?:\{[^{}]*\})? [0-9.e+-]+)$/)
    expect((await fetch(`${registry.server.url}/metrics`)).status).toBe(401)
  })
})
