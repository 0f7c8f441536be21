import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { exitCodeOf } from './errors.ts'
import { program } from './program.ts'

/** Runs a command line without a process, and gives what it printed and its exit code. */
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' }
  const into = (stream: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[stream] += String(chunk)
        done()
      },
    })
  const surroundings = {
    environment: { MUSTER_STATE: '/nonexistent/state' },
    signal: new AbortController().signal,
    stdout: into('out'),
    stderr: into('err'),
  }
  try {
    await program(surroundings).parseAsync(['node', 'muster', ...args])
    return { code: 0, ...printed }
  } catch (error) {
    return { code: exitCodeOf(error), out: printed.out, err: printed.err + (error instanceof Error ? error.message : '') }
  }
}

describe('the command line', () => {
  it('prints help with examples and the exit codes', async () => {
    const { code, out } = await run('--help')
    expect(code).toBe(0)
    expect(out).toContain('muster place podinfo --on alpha')
    expect(out).toContain('2 wrong usage')
  })

  it('takes a --version behind a command as the command’s own', async () => {
    const { err, out } = await run('place', 'podinfo', '--version', '1.2.3', '--on', 'alpha')
    expect(out).not.toContain('0.1.0')
    expect(err).toContain('Instance "default" is not up')
  })

  it.each([
    [['nonsense'], /unknown command/],
    [['up', '--nonsense'], /unknown option/],
    [['status', '--output', 'xml'], /table, json/],
    [['place', 'podinfo'], /--on CLUSTER/],
    [['place', 'podinfo', '--on', 'alpha', '--nowhere'], /--nowhere/],
    [['publish', '.', '--unsigned', '--key', 'k'], /exclude each other/],
    [['--instance', 'No!', 'status'], /no instance id/],
  ])('says of %j what is wrong, with exit code 2', async (args, sentence) => {
    const { code, err } = await run(...args)
    expect(err).toMatch(sentence)
    expect(code).toBe(2)
  })

  it('says of an instance that is not there how to make it, with exit code 1', async () => {
    const { code, err } = await run('status')
    expect(code).toBe(1)
    expect(err).toContain('Run "muster up" first')
  })
})
