import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { goModuleWith } from './module.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-module-'))
})
afterEach(() => rm(dir, { recursive: true }))

/** A stand-in for the go command. */
const go = async (script: string) => {
  const file = join(dir, 'go')
  await writeFile(file, `#!/bin/sh\n${script}\n`)
  await chmod(file, 0o755)
  return file
}

describe('a Go module', () => {
  it('is fetched by the go command, which gives its folder and checksum', async () => {
    const program = await go(
      '[ "$*" = "mod download -json example.test/app@v1.0.0" ] && echo "{\\"Dir\\":\\"/mod/app\\",\\"Sum\\":\\"h1:$GOPROXY=\\"}"',
    )
    const fetch = goModuleWith({ GOPROXY: 'x' }, { go: program })
    await expect(fetch('example.test/app@v1.0.0')).resolves.toEqual({ dir: '/mod/app', sum: 'h1:x=' })
  })

  it.each([
    ['fails', 'echo "no such version" >&2; exit 1', true, 'no such version'],
    ['says nothing that is JSON', 'echo hello', false, 'no JSON'],
    ['names no folder', 'echo "{}"', false, 'no folder'],
  ])('is refused when the command %s', async (_what, script, transient, message) => {
    const fetch = goModuleWith({}, { go: await go(script) })
    await expect(fetch('example.test/app@v1.0.0')).rejects.toMatchObject({
      code: 'ModuleUnavailable',
      transient,
      message: expect.stringContaining(message),
    })
  })

  it('is refused for good when there is no go command', async () => {
    await expect(goModuleWith({ PATH: dir })('example.test/app@v1.0.0')).rejects.toMatchObject({
      code: 'ModuleUnavailable',
      transient: false,
      message: expect.stringContaining('Install Go'),
    })
  })
})
