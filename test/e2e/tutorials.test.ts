import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { helmProgram } from '@muster/bundle'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkout, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
const env = { ...process.env, MUSTER_INSTANCE: instance.id, MUSTER_STATE: instance.state, NO_COLOR: '1' }
const pages = [
  'README.md',
  'docs/bundle.md',
  'docs/verifying.md',
  'docs/signing.md',
  'docs/relocating.md',
  'docs/registry.md',
  'docs/supply-chain.md',
  'docs/health.md',
  'docs/releases.md',
  'docs/customizing.md',
  'docs/ordering.md',
  'docs/drift.md',
  'docs/tenants.md',
  'docs/secrets.md',
]
let folder: string

// On a new machine Helm is built first: minutes, which no page's commands should have to wait for.
beforeAll(async () => {
  const { MUSTER_CACHE: own, XDG_CACHE_HOME: general } = process.env
  const cache = own ?? path.join(general ?? path.join(homedir(), '.cache'), 'muster')
  await helmProgram({ cacheDir: path.join(cache, 'tools'), env: process.env })
}, 20 * 60_000)

// As in the checkout, but what the pages write is not left in it.
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-tutorial-'))
  for (const name of ['muster', 'examples']) await symlink(path.join(checkout, name), path.join(folder, name))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

afterAll(async () => {
  await instance.succeed('component', 'start', 'registry')
})

describe.each(pages)('the commands in %s', (page) => {
  it('work in the order in which they are written', async () => {
    const text = await readFile(path.join(checkout, page), 'utf8')
    const commands = commandsOf(text)
    expect(commands.length).toBeGreaterThan(3)
    let printed = ''
    for (const command of commands) {
      const outcome = await run('bash', ['-c', command.typed], { env, cwd: folder })
      const told = `${command.typed}\n${outcome.stdout}\n${outcome.stderr}`
      // What a page shows as refused is refused by the same words.
      if (command.printed.includes('denied request')) {
        expect(outcome.code, told).not.toBe(0)
        expect(words(outcome.stderr)).toContain(words(command.printed))
        continue
      }
      expect(outcome.code, told).toBe(0)
      printed += outcome.stdout
    }
    // What a page promises to be answered, was.
    for (const [, answer] of text.matchAll(/"([^"]+, Ada!)"/g)) expect(printed).toContain(answer)
  })
})

/**
 * The commands of a page's console blocks, as a reader would type them: a line after `$`, and those after `>` that go on with it; the
 * rest is what is printed. What brings the instance up or down, and the tests themselves, are the environment's.
 */
function commandsOf(page: string): { readonly typed: string; readonly printed: string }[] {
  const blocks = [...page.matchAll(/```console\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  return blocks
    .flatMap((block) => [...block.matchAll(/^\$ ((?:.*\\\n)*.*(?:\n>.*)*)((?:\n(?!\$ ).*)*)/gm)])
    .map(([, typed = '', printed = '']) => ({ typed: typed.replaceAll(/\n> ?/g, '\n'), printed }))
    .filter(({ typed }) => !/^(\.\/muster (up|down)\b|npm )/.test(typed))
}

/** A text however its lines are broken. */
function words(text: string): string {
  return text.split(/\s+/).join(' ').trim()
}
