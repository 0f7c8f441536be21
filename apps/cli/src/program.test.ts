import { describe, expect, it } from 'vitest'
import { type Ran, runHere } from './testing/run.ts'

describe('the command line', () => {
  it('prints help with examples and the exit codes', async () => {
    const { code, out } = await runHere('--help')
    expect(code).toBe(0)
    expect(out).toContain('muster place podinfo --on alpha')
    expect(out).toContain('2 wrong usage')
  })

  it('has examples in the help of every command, and of every group', async () => {
    const pages = await helpPages([])
    expect(pages.length).toBeGreaterThan(40)
    for (const { code, out } of pages) {
      expect(out).toContain('\nExamples:\n')
      expect(out).not.toContain('\u001b[')
      expect(code).toBe(0)
    }
  })

  it('takes a --version behind a command as the command’s own', async () => {
    const { err, out } = await runHere('place', 'podinfo', '--version', '1.2.3', '--on', 'alpha')
    expect(out).not.toContain('0.1.0')
    expect(err).toContain('Instance "default" is not up')
  })

  it.each([
    [['nonsense'], /unknown command/],
    [['up', '--nonsense'], /unknown option/],
    [['status', '--output', 'xml'], /table, json/],
    [['place', 'podinfo'], /--on CLUSTER/],
    [['place', 'podinfo', '--on', 'alpha', '--nowhere'], /--nowhere/],
    [['leave', 'charlie', '--offline', '--prune'], /--offline only takes the agent out/],
    [['publish', '.', '--unsigned', '--key', 'k'], /exclude each other/],
    [['--instance', 'No!', 'status'], /no instance id/],
  ])('says of %j what is wrong, with exit code 2', async (args, sentence) => {
    const { code, err } = await runHere(...args)
    expect(err).toMatch(sentence)
    expect(code).toBe(2)
  })

  it('says of an instance that is not there how to make it, with exit code 1', async () => {
    const { code, err } = await runHere('status')
    expect(code).toBe(1)
    expect(err).toContain('Run "muster up" first')
  })
})

/** The help of a command and of all below it. */
async function helpPages(command: readonly string[]): Promise<Ran[]> {
  const page = await runHere(...command, '--help')
  const [, list = ''] = /\nCommands:\n([\s\S]*?)\n\n/.exec(`${page.out}\n\n`) ?? []
  const names = [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name ?? '').filter((name) => name !== 'help')
  return [page, ...(await Promise.all(names.map((name) => helpPages([...command, name])))).flat()]
}
