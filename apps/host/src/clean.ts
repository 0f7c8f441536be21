import { readFile } from 'node:fs/promises'
import { Cgroups } from './cgroup.ts'
import { run } from './command.ts'
import { remove } from './files.ts'
import { checkInstanceId, kernelNames, paths } from './instance.ts'
import { lockInstance } from './lock.ts'
import { removeInstanceNetwork } from './network.ts'
import { readDesired, writeDesired } from './state.ts'

/**
 * Removes by name everything that an instance has in the kernel: processes with their control groups, network namespaces,
 * links, packet filter, mounts. For when its daemon is dead; needs no state and keeps the state.
 * @throws HostError `Locked` while the daemon lives, `NotReady` when something does not go
 */
export async function cleanInstance(id: string, state: string | undefined): Promise<void> {
  const lock = await lockInstance(checkInstanceId(id))
  try {
    if (state !== undefined) await forgetRunning(state)
    const cgroups = await Cgroups.detect()
    await cgroups.remove(kernelNames({ id, x: 0 }).cgroup)
    await removeInstanceNetwork(id)
    if (state !== undefined) {
      for (const mount of await mountsBelow(state)) await run('umount', ['--lazy', mount])
      await remove(paths(state).run)
    }
  } finally {
    await lock.release()
  }
}

/** State that cannot be read holds nothing that could be resumed. */
async function forgetRunning(state: string): Promise<void> {
  const desired = await readDesired(state).catch(() => undefined)
  if (desired?.running === true) await writeDesired(state, { ...desired, running: false })
}

/** Mount points under a folder, the innermost first. Nodes mount in namespaces of their own: normally there are none. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
  return mounts.filter((mount) => mount.startsWith(`${folder}/`)).reverse()
}
