import { tmpdir } from 'node:os'
import { describe, expect, it } from 'vitest'
import { type Command, runTool, toolEnvironment } from './command.ts'

const shell = { go: '/bin/sh' }
const command = (script: string, more: Partial<Command> = {}): Command => ({
  tool: 'go',
  args: ['-c', script],
  cwd: tmpdir(),
  env: { PATH: '/usr/bin:/bin' },
  purpose: 'build ./app',
  deadlineMs: 60_000,
  ...more,
})

const isGone = (pid: number) => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

describe('a program of the host', () => {
  it('that is missing is named, with what it is for and how to get it', async () => {
    await expect(runTool({ go: '/nowhere/go' }, command(''))).rejects.toMatchObject({
      code: 'ToolMissing',
      message: expect.stringMatching(/go is needed to build \.\/app, and \/nowhere\/go is not there\. Install Go/),
    })
  })

  it('that fails says what it said', async () => {
    await expect(runTool(shell, command('echo "x.go:3: undefined" >&2; exit 2'))).rejects.toMatchObject({
      code: 'BuildFailed',
      message: expect.stringMatching(/go could not build \.\/app \(it ended with 2\):\nx\.go:3: undefined/),
    })
  })

  it('is ended with all that it started when the build is aborted', async () => {
    const abort = new AbortController()
    const pids: number[] = []
    const running = runTool(
      shell,
      command('sleep 1000 & echo $! >&2; echo $$ >&2; wait', {
        signal: abort.signal,
        onLine: (line) => {
          if (pids.push(Number(line)) === 2) abort.abort(new Error('no longer wanted'))
        },
      }),
    )
    await expect(running).rejects.toThrow('no longer wanted')
    expect(pids).toHaveLength(2)
    // The call returns when the last of them has let go of its output: the child is over too.
    expect(isGone(pids[1] ?? 0)).toBe(true)
  })

  it('is ended at its deadline', async () => {
    await expect(runTool(shell, command('echo waiting >&2; exec sleep 1000', { deadlineMs: 50 }))).rejects.toMatchObject({
      code: 'BuildTimeout',
      transient: true,
    })
  })

  it('cannot fill the memory', async () => {
    await expect(runTool(shell, command('exec yes', { outputLimit: 100_000 }))).rejects.toMatchObject({ code: 'BuildFailed' })
  })

  it('sees of the environment what it needs to find its way, and no secret', () => {
    const seen = toolEnvironment(
      { PATH: '/bin', HOME: '/h', https_proxy: 'p', AWS_SECRET_ACCESS_KEY: 's', GOFLAGS: '-x', npm_config_cache: 'c' },
      { GOOS: 'linux' },
      /^npm_config_/,
    )
    expect(seen).toEqual({ PATH: '/bin', HOME: '/h', https_proxy: 'p', npm_config_cache: 'c', GOOS: 'linux', LC_ALL: 'C' })
  })
})
