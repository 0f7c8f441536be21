import { run } from './command.ts'

/** A file system of its own at a folder, which holds so many bytes; the returned function takes it away. Needs root. */
export async function mountSmallDisk(directory: string, bytes: number): Promise<() => Promise<void>> {
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', directory])
  if (mounted.code !== 0) throw new Error(`a small tmpfs could not be mounted; this test needs root: ${mounted.stderr}`)
  return async () => {
    // Also where somebody still has a file of it open.
    await run('umount', ['-l', directory])
  }
}
