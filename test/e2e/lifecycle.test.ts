import { access, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { FleetStatus } from '@muster/fleet'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually, instanceOf } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { leftovers } from '../environment/leftovers.ts'

/** A second instance beside the shared one: all that it has is its own. */
const shared = sharedInstance()
const second = instanceOf(`${shared.id}b`, path.join(tmpdir(), `muster-${shared.id}b`))

afterAll(async () => {
  await second.muster('down', '--purge')
})

async function ready(instance: typeof second): Promise<string[]> {
  const fleet = JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
  return fleet.clusters.filter((cluster) => cluster.ready).map((cluster) => cluster.name)
}

describe('an instance', () => {
  it('comes up beside another one, which does not notice', async () => {
    await second.succeed('up', '--no-example')
    expect(await ready(second)).toEqual(['hub', 'alpha', 'bravo'])
    expect(await ready(shared)).toEqual(['hub', 'alpha', 'bravo'])
  })

  it('goes on when its daemon is killed, and "up" takes over what runs', async () => {
    const before = await controlPlanes()
    process.kill(await daemonPid(), 'SIGKILL')
    expect(await ready(second)).toEqual(['hub', 'alpha', 'bravo'])
    await second.succeed('up', '--no-example')
    expect(await controlPlanes()).toEqual(before)
  })

  it('brings a killed component back by itself', async () => {
    const [server] = (await leftovers(second.id, second.state)).filter((line) => line.includes('kube-apiserver'))
    const pid = Number(server?.split(' ')[1])
    process.kill(pid, 'SIGKILL')
    await eventually(async () => ((await ready(second)).length === 3 && !(await running(pid)) ? true : undefined), {
      withinMs: 120_000,
      everyMs: 1000,
      what: 'all clusters are ready with a new API server',
    })
  })

  it('"down" leaves no process, mount, cgroup, namespace, link or firewall table of its own, even after its daemon was killed', async () => {
    process.kill(await daemonPid(), 'SIGKILL')
    await second.succeed('down')
    expect(await leftovers(second.id, second.state)).toEqual([])
    await access(path.join(second.state, 'keys', 'publisher.pub'))
  })

  it('"down --purge" forgets the state too', async () => {
    await second.succeed('down', '--purge')
    await expect(access(second.state)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await ready(shared)).toEqual(['hub', 'alpha', 'bravo'])
  })
})

async function daemonPid(): Promise<number> {
  const { pid } = JSON.parse(await readFile(path.join(second.state, 'run', 'daemon.json'), 'utf8')) as { pid: number }
  return pid
}

/** Process ids of the API servers: the same ids are the same processes. */
async function controlPlanes(): Promise<string[]> {
  return (await leftovers(second.id, second.state))
    .filter((line) => line.startsWith('process') && line.includes('kube-apiserver'))
    .map((line) => line.split(' ')[1] ?? '')
}

async function running(pid: number): Promise<boolean> {
  return access(`/proc/${pid}`).then(
    () => true,
    () => false,
  )
}
