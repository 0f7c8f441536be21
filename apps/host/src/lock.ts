import { createServer, type Server } from 'node:net'
import { HostError } from './errors.ts'
import { kernelNames } from './instance.ts'

/**
 * The one lock of an instance, held by its daemon or by who cleans up after it: an abstract Unix socket, which the kernel
 * gives to one process and takes back when that one ends, however it ends.
 * @throws HostError `Locked`
 */
export async function lockInstance(id: string): Promise<{ release(): Promise<void> }> {
  const server: Server = createServer((connection) => connection.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new HostError(
          'Locked',
          `Instance ${id} is already being run or cleaned up by another process; ask that one, or wait for its end.`,
          cause,
        ),
      ),
    )
    server.listen(kernelNames({ id, x: 0 }).lock, resolve)
  })
  server.unref()
  return {
    release: async () =>
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      }),
  }
}
