import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { kustomizeWith, refuseRemote } from './kustomize.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-kustomize-'))
})
afterEach(() => rm(dir, { recursive: true }))

const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}

describe('a kustomization', () => {
  it('that stays on this machine is taken, whatever it is made of', async () => {
    await write(
      'app/kustomization.yaml',
      'resources: [deployment.yaml, ../base]\npatches: [{path: patch.yaml}, {patch: "- op: remove\\n  path: /x"}]\nconfigMapGenerator: [{name: a, files: [app.conf, key=b.conf], literals: ["url=https://example.test"]}]\nimages: [{name: example.test/app, newTag: "1"}]\n',
    )
    await write('base/kustomization.yml', 'resources: [service.yaml]\ncomponents: [../app]\n')
    await expect(refuseRemote(join(dir, 'app'))).resolves.toBeUndefined()
  })

  it.each([
    ['a URL', 'resources: ["https://example.test/app.yaml"]'],
    ['a URL in capitals', 'resources: ["HTTPS://example.test/app.yaml"]'],
    ['a git repository by ssh', 'resources: ["git@example.test:team/app.git"]'],
    ['a git repository by user', 'bases: ["me@example.test/team/app"]'],
    ['a git URL', 'components: ["git::https://example.test/team/app"]'],
    ['a GitHub shorthand', 'resources: ["github.com/team/app?ref=v1"]'],
    ['a GitHub alias', 'resources: ["gh:team/app"]'],
    ['a file URL', 'resources: ["file:///srv/app"]'],
    ['a patch from a URL', 'patches: [{path: "https://example.test/patch.yaml"}]'],
    ['a CRD from a URL', 'crds: ["http://example.test/crd.json"]'],
    ['a schema from a URL', 'openapi: {path: "https://example.test/schema.json"}'],
    ['a generated file from a URL', 'configMapGenerator: [{name: a, files: ["key=https://example.test/x"]}]'],
    ['a secret from a URL', 'secretGenerator: [{name: a, envs: ["https://example.test/x"]}]'],
    ['a generator from a URL', 'generators: ["https://example.test/x"]'],
    ['a Helm chart', 'helmCharts: [{name: app, repo: "https://example.test"}]'],
  ])('that takes in %s is refused at its place, however deep it is', async (_what, text) => {
    await write('app/kustomization.yaml', 'resources: [../middle]\n')
    await write('middle/Kustomization', 'resources: [../deep]\n')
    await write('deep/kustomization.yaml', `${text}\n`)
    await expect(refuseRemote(join(dir, 'app'))).rejects.toMatchObject({
      code: 'RemoteResource',
      message: expect.stringMatching(/deep\/kustomization\.yaml:1:\d+: /),
    })
  })

  it('of a module does not reach out of the module', async () => {
    await write('module/app/kustomization.yaml', 'resources: [../../secret]\n')
    await write('secret/kustomization.yaml', 'resources: []\n')
    await expect(refuseRemote(join(dir, 'module', 'app'), join(dir, 'module'))).rejects.toMatchObject({ code: 'RemoteResource' })
  })

  it('that is not there, or is none, is refused', async () => {
    await expect(refuseRemote(join(dir, 'none'))).rejects.toMatchObject({ code: 'KustomizeFailed' })
    await expect(refuseRemote(dir)).rejects.toMatchObject({ code: 'KustomizeFailed' })
    await write('list/kustomization.yaml', '- a\n')
    await expect(refuseRemote(join(dir, 'list'))).rejects.toMatchObject({ code: 'KustomizeFailed' })
  })
})

describe('the Kustomize command', () => {
  const run = (script: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
    kustomizeWith([process.execPath, '-e', script, '--'], options)(dir, options.signal)

  it('gets the folder as its last argument, and no way out', async () => {
    const output = await run('console.log(JSON.stringify([process.argv.at(-1), process.env.PATH, process.env.HTTPS_PROXY]))')
    expect(JSON.parse(output)).toEqual([dir, '', 'http://127.0.0.1:9'])
  })

  it('that fails is quoted', async () => {
    await expect(run('console.error("no such field"); process.exit(1)')).rejects.toMatchObject({
      code: 'KustomizeFailed',
      message: expect.stringContaining('no such field'),
    })
  })

  it('that is not there is named', async () => {
    await expect(kustomizeWith([join(dir, 'kustomize')])(dir)).rejects.toMatchObject({
      code: 'KustomizeFailed',
      message: expect.stringContaining('could not be started'),
    })
  })

  it('that does not end is stopped at its deadline', async () => {
    await expect(run('setInterval(() => {}, 1000)', { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'KustomizeFailed',
      message: expect.stringContaining('longer than 0.2 s'),
    })
  })

  it('that never stops writing is stopped', async () => {
    await expect(run('const b = "x".repeat(1 << 20); const w = () => process.stdout.write(b, w); w()')).rejects.toMatchObject({
      code: 'KustomizeFailed',
      message: expect.stringContaining('wrote more than'),
    })
  })

  it('is stopped on abort, with the reason of the signal', async () => {
    const abort = new AbortController()
    const running = run('setInterval(() => {}, 1000)', { signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
  })
})
