import { appendFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installPackages, planInstall } from './install-packages.ts'
import type { Requirement } from './requirements.ts'

const need = (id: string, ok: boolean, packages?: string[]): Requirement => ({
  id,
  ok,
  found: '',
  needed: '',
  fix: '',
  ...(packages && { packages }),
})
const missing = [
  need('a', false, ['util-linux']),
  need('b', false, ['util-linux']),
  need('c', false, ['mmdebstrap']),
  need('d', true, ['tar']),
  need('go', false),
]

describe('what would be installed', () => {
  it('is each missing package once, and nothing that is there', () => {
    expect(planInstall(missing, 'apt')?.packages).toEqual(['mmdebstrap', 'util-linux'])
    expect(planInstall([need('d', true, ['tar']), need('go', false)], 'apt')).toBeUndefined()
    expect(planInstall(missing, undefined)).toBeUndefined()
  })

  it('is said as the command of the host’s package manager, which asks nothing', () => {
    expect(planInstall(missing, 'apt')?.install).toEqual(
      expect.arrayContaining(['apt-get', '--yes', '--no-install-recommends', 'mmdebstrap']),
    )
    expect(planInstall(missing, 'dnf')?.install.slice(0, 3)).toEqual(['dnf', 'install', '--assumeyes'])
    expect(planInstall(missing, 'zypper')?.install.slice(0, 3)).toEqual(['zypper', '--non-interactive', 'install'])
    expect(planInstall(missing, 'apk')?.install).toEqual(['apk', 'add', 'mmdebstrap', 'util-linux'])
  })
})

describe('installing', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'muster-install-'))
  })
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true })
  })

  /** A package manager that writes down what it is asked, and whose installing fails until the lists were fetched. */
  async function asked(o: { hasLists: boolean; fails: 'never' | 'until updated' | 'always' }): Promise<{ log: string[]; error?: unknown }> {
    const script = `#!/bin/sh
echo "$1" >> ${dir}/log
[ "$1" = update ] && touch ${dir}/updated
[ "$1" = install ] && [ "${o.fails}" = always ] && exit 100
[ "$1" = install ] && [ "${o.fails}" = "until updated" ] && [ ! -f ${dir}/updated ] && { echo "E: Unable to locate package" >&2; exit 100; }
exit 0
`
    await writeFile(join(dir, 'apt-get'), script, { mode: 0o755 })
    appendFileSync(join(dir, 'log'), '')
    const plan = planInstall(missing, 'apt')
    if (plan === undefined) throw new Error('nothing planned')
    let error: unknown
    await installPackages(plan, {
      env: { PATH: `${dir}:/usr/bin:/bin` },
      signal: new AbortController().signal,
      onLine: () => undefined,
      hasLists: async () => o.hasLists,
    }).catch((thrown) => {
      error = thrown
    })
    const log = (await readFile(join(dir, 'log'), 'utf8')).split('\n').filter(Boolean)
    return { log, ...(error !== undefined && { error }) }
  }

  it('fetches the lists of packages first where there are none', async () => {
    expect(await asked({ hasLists: false, fails: 'never' })).toEqual({ log: ['update', 'install'] })
  })

  it('does not fetch them where they are there and serve', async () => {
    expect(await asked({ hasLists: true, fails: 'never' })).toEqual({ log: ['install'] })
  })

  it('fetches them when they are too old to install from, once', async () => {
    expect(await asked({ hasLists: true, fails: 'until updated' })).toEqual({ log: ['install', 'update', 'install'] })
    expect((await asked({ hasLists: true, fails: 'always' })).error).toMatchObject({ code: 'ToolFailed' })
  })
})
