import { describe, expect, it } from 'vitest'
import { lineSplitter, runTool, withSystemPath } from './run-tool.ts'

const env = { PATH: '/usr/bin:/bin' }
const never = new AbortController().signal
const sh = (script: string, more: Partial<Parameters<typeof runTool>[0]> = {}) =>
  runTool({ command: 'sh', args: ['-c', script], env, signal: never, timeoutMs: 60_000, ...more })

describe('a tool', () => {
  it('gives back what it wrote, takes what it is told, and its lines come as they are', async () => {
    const lines: string[] = []
    expect(await sh('cat; echo two; echo err >&2', { input: 'one\n', onLine: (line) => lines.push(line) })).toBe('one\ntwo\n')
    expect(lines.sort()).toEqual(['err', 'one', 'two'])
  })

  it('that fails is quoted with its last words', async () => {
    await expect(sh('echo why >&2; exit 3')).rejects.toMatchObject({ code: 'ToolFailed', message: expect.stringMatching(/exit 3.*\nwhy/) })
  })

  it('that is not there is named', async () => {
    await expect(runTool({ command: 'muster-no-such-tool', args: [], env, signal: never, timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'ToolMissing',
    })
  })

  it('that is cancelled ends with all its children', async () => {
    const controller = new AbortController()
    // The child holds the output open: were it left, this would wait ten minutes for it.
    const running = sh('sleep 600 & echo started; wait', { signal: controller.signal, onLine: () => controller.abort() })
    await expect(running).rejects.toMatchObject({ code: 'Aborted' })
  })

  it('that takes too long or writes too much is ended', async () => {
    await expect(sh('sleep 600', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'Timeout', transient: true })
    await expect(sh('yes', { outputLimit: 1000 })).rejects.toMatchObject({ code: 'OutputTooLarge' })
  })

  it('does not even start when the work was cancelled', async () => {
    await expect(sh('true', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'Aborted' })
  })

  it('finds administrators’ commands also for a user without them on the path', () => {
    expect(withSystemPath({ PATH: '/opt/bin:/bin' })['PATH']).toBe('/opt/bin:/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin')
  })
})

describe('lines', () => {
  it('are the same however the text was cut, and end at carriage returns as well', () => {
    const seen: string[] = []
    const lines = lineSplitter((line) => seen.push(line))
    for (const piece of ['a', 'b\nc\r', 'd\n', 'e']) lines.push(piece)
    lines.flush()
    expect(seen).toEqual(['ab', 'c', 'd', 'e'])
  })
})
