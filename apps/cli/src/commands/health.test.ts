import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contextOf } from '../context.ts'
import { exitCodeOf } from '../errors.ts'
import { registerHealth } from '../registration/health.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-health-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Types a command over a file of this content: its exit code, and what it printed. */
async function typed(content: string, ...args: readonly string[]): Promise<{ code: number; said: string }> {
  const file = path.join(dir, 'objects.yaml')
  await writeFile(file, content)
  const stdout = new PassThrough()
  const context = contextOf({ environment: {}, signal: new AbortController().signal, stdout, stderr: new PassThrough() }, {})
  const program = new Command().exitOverride()
  registerHealth(program, () => context)
  try {
    await program.parseAsync(['health', '-f', file, ...args], { from: 'user' })
    return { code: 0, said: String(stdout.read() ?? '') }
  } catch (error) {
    return { code: exitCodeOf(error), said: String(stdout.read() ?? '') || String(error) }
  }
}

const claim = (phase: string) => `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, generateName: x}
status: {phase: ${phase}}
`
const schedule = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {suspend: true}
`

describe('muster health', { timeout: 60_000 }, () => {
  it('says of each object how it is and why: exit code 0 where all are healthy or suspended', async () => {
    const { code, said } = await typed(`${claim('Bound')}---\n${schedule}`)
    expect(code).toBe(0)
    expect(said.split('\n').map((line) => line.split(/ {3,}/))).toEqual([
      ['OBJECT', 'HEALTH', 'REASON', 'WHY'],
      ['PersistentVolumeClaim shop/data', 'Healthy', 'Bound', 'It is bound.'],
      ['CronJob shop/nightly', 'Suspended', 'Suspended', 'The schedule is suspended.'],
      [''],
    ])
  })

  it('ends with 1 where one is not healthy', async () => {
    expect(await typed(claim('Lost'))).toMatchObject({ code: 1, said: expect.stringContaining('Degraded   Lost') })
    expect(await typed(claim('Pending'))).toMatchObject({ code: 1, said: expect.stringContaining('Progressing') })
  })

  it('takes lists as kubectl prints them, and tells machines in JSON', async () => {
    const list = JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }],
    })
    const { code, said } = await typed(list, '-o', 'json')
    expect(code).toBe(0)
    expect(JSON.parse(said)).toEqual([
      { apiVersion: 'v1', kind: 'Namespace', name: 'shop', state: 'Healthy', reason: 'Healthy', message: 'The namespace is there.' },
    ])
  })

  it.each([
    ['nothing', ''],
    ['no objects', 'just: a map\n'],
    ['what is no YAML', 'a: [\n'],
  ])('ends with 2 where a file holds %s', async (_what, content) => {
    expect((await typed(content)).code).toBe(2)
  })

  it('ends with 2 and says what is wrong with a file that cannot be read, and nothing of an instance', async () => {
    const judged = async (file: string) => typed(claim('Bound'), '-f', file)
    const absent = path.join(dir, 'absent.yaml')
    expect(await judged(absent)).toEqual({
      code: 2,
      said: `UsageError: ${absent} cannot be read (Kubernetes objects): there is no such file. Check the path.`,
    })
    expect(await judged(dir)).toMatchObject({ code: 2, said: expect.stringContaining('it is a folder. Give a file in it.') })
    expect(await judged(path.join(dir, 'objects.yaml', 'x'))).toMatchObject({ code: 2, said: expect.stringContaining('is no folder') })
    const rules = path.join(dir, 'large.yaml')
    await writeFile(rules, Buffer.alloc(1024 * 1024 + 1, ' '))
    expect(await typed(claim('Bound'), '--rules', rules)).toMatchObject({
      code: 2,
      said: expect.stringContaining('is larger than 1048576 bytes'),
    })
    expect(await typed(claim('Bound'), '--rules', absent)).toMatchObject({
      code: 2,
      said: expect.stringContaining('there is no such file'),
    })
  })

  it('judges custom resources by the rules of a bundle.yaml, and ends with 2 where a rule is no CEL', async () => {
    const cache = 'apiVersion: example.test/v1\nkind: Cache\nmetadata: {name: sessions}\nstatus: {ready: 1}\n'
    const rules = async (healthy: string) => {
      const file = path.join(dir, 'bundle.yaml')
      await writeFile(file, `kind: BundleSource\nhealth:\n  - {apiGroup: example.test, kind: Cache, healthy: ${JSON.stringify(healthy)}}\n`)
      return typed(cache, '--rules', file)
    }
    expect(await rules('object.status.ready == 1')).toMatchObject({ code: 0 })
    expect(await rules('object.status.ready == 2')).toMatchObject({ code: 1, said: expect.stringContaining('It is not yet that') })
    expect(await rules('object.status.ready ==')).toMatchObject({ code: 2, said: expect.stringContaining('no expression in CEL') })
  })

  it('prints no control characters of an object', async () => {
    const { said } = await typed(
      '{"apiVersion":"x/v1","kind":"W","metadata":{"name":"w"},"status":{"conditions":[{"type":"Ready","status":"False","message":"\\u001b[31m"}]}}',
    )
    expect(said).toContain('?[31m')
  })
})
