import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockFile } from './file-lock.ts'

const env = { PATH: '/usr/bin:/bin' }
const signal = new AbortController().signal
let path: string
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-lock-'))
  path = join(dir, 'lock')
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

describe('the lock', () => {
  it('lets one in at a time, however many come', async () => {
    let inside = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        const lock = await lockFile(path, { env, signal })
        most = Math.max(most, ++inside)
        await new Promise(setImmediate)
        inside--
        await lock.release()
      }),
    )
    expect(most).toBe(1)
  })

  it('says once that it waits, and can be waited for no longer', async () => {
    const held = await lockFile(path, { env, signal })
    const controller = new AbortController()
    let waits = 0
    const waiting = lockFile(path, {
      env,
      signal: controller.signal,
      onWait: () => {
        waits++
        controller.abort()
      },
    })
    await expect(waiting).rejects.toMatchObject({ code: 'Aborted' })
    expect(waits).toBe(1)
    await held.release()
  })

  it('is free again when its holder was killed', async () => {
    const program = `import { lockFile } from ${JSON.stringify(join(import.meta.dirname, 'file-lock.ts'))}
      await lockFile(${JSON.stringify(path)}, { env: ${JSON.stringify(env)}, signal: new AbortController().signal }); console.log('held'); setInterval(() => {}, 1000)`
    const holder = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(holder.stdout, 'data')
    holder.kill('SIGKILL')
    const lock = await lockFile(path, { env, signal })
    await lock.release()
  })

  it('says so when the folder is not there', async () => {
    await expect(lockFile(join(dir, 'none', 'lock'), { env, signal })).rejects.toMatchObject({ code: 'ToolFailed' })
  })
})
