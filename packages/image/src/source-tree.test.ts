import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readSourceTree } from './source-tree.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'muster-tree-'))
  await mkdir(join(root, 'ui/css'), { recursive: true })
  await writeFile(join(root, 'ui/index.html'), 'page', { mode: 0o600 })
  await writeFile(join(root, 'ui/css/a.css'), 'css')
  await writeFile(join(root, 'ui/run'), '#!')
  await chmod(join(root, 'ui/run'), 0o4711)
})
afterEach(() => rm(root, { recursive: true, force: true }))

const summary = (entries: Awaited<ReturnType<typeof readSourceTree>>) =>
  entries.map((entry) => `${entry.path} ${entry.kind === 'symlink' ? entry.target : entry.mode.toString(8)}`)

describe('files of the source', () => {
  it('come with fixed modes, whatever they are on disk', async () => {
    expect(summary(await readSourceTree({ root, from: 'ui', to: 'srv/ui' }))).toEqual([
      'srv/ui 755',
      'srv/ui/css 755',
      'srv/ui/css/a.css 644',
      'srv/ui/index.html 644',
      'srv/ui/run 755',
    ])
  })

  it('may be a single one', async () => {
    expect(summary(await readSourceTree({ root, from: 'ui/run', to: 'bin/start' }))).toEqual(['bin/start 755'])
  })

  it('are left out where excluded', async () => {
    expect(summary(await readSourceTree({ root, from: 'ui', to: 'u', exclude: ['css', '*.html'] }))).toEqual(['u 755', 'u/run 755'])
  })

  it('keep links inside of the tree, and refuse those that lead out', async () => {
    await symlink('index.html', join(root, 'ui/home'))
    expect(summary(await readSourceTree({ root, from: 'ui', to: 'u' }))).toContain('u/home index.html')
    await symlink('/etc/passwd', join(root, 'ui/secret'))
    await expect(readSourceTree({ root, from: 'ui', to: 'u' })).rejects.toMatchObject({ code: 'PathOutside' })
  })

  it('cannot be reached through a link out of the source folder', async () => {
    await symlink('/etc', join(root, 'etc'))
    await expect(readSourceTree({ root, from: 'etc/passwd', to: 'x' })).rejects.toMatchObject({ code: 'PathOutside' })
    await expect(readSourceTree({ root, from: 'none', to: 'x' })).rejects.toMatchObject({ code: 'SourceNotFound' })
  })
})
