import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startRegistry, temporaryDirectory } from '../testing/registry.ts'
import { lockDirectory } from './directory-lock.ts'

describe('a directory of the registry', () => {
  it('is for one server at a time, and the second is told which process has it', async () => {
    const first = await startRegistry()
    await expect(startRegistry({ root: first.root })).rejects.toMatchObject({
      code: 'Storage',
      message: expect.stringMatching(new RegExp(`used by another registry server \\(process ${process.pid}\\)`)),
    })
    await first.server.close()
    await startRegistry({ root: first.root })
  })

  it('is free again when the server cannot start', async () => {
    const root = await temporaryDirectory()
    const taken = await startRegistry()
    await expect(startRegistry({ root, listen: { host: '127.0.0.1', port: taken.server.port } })).rejects.toMatchObject({
      code: 'Unreachable',
    })
    await startRegistry({ root })
  })

  it('is free the moment that its process is killed', async () => {
    const root = await temporaryDirectory()
    const program = `
      import { lockDirectory } from ${JSON.stringify(new URL('./directory-lock.ts', import.meta.url).href)}
      const lock = await lockDirectory(process.argv[1])
      setInterval(() => lock, 1000)
      console.log('locked')`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program, root], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(createInterface({ input: child.stdout }), 'line')
    await expect(lockDirectory(root)).rejects.toThrow(`process ${child.pid}`)
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    await (await lockDirectory(root)).close()
  })
})
