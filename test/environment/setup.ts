import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { checkout, instanceOf } from './command.ts'
import './provided.ts'

/**
 * One environment for all tests that need real clusters: a hub, alpha and bravo, brought up by the command that a user gives. Its
 * id derives from the checkout's path, so that checkouts can be tested side by side. A project that comes second finds it running.
 */
export async function setup(project: TestProject): Promise<void> {
  const { id, state } = environment()
  const kubeconfig = process.env['MUSTER_TEST_KUBECONFIG']
  if (kubeconfig) {
    // A developer's own API server, for integration tests alone.
    project.provide('kubeconfig', kubeconfig)
    project.provide('kubectl', process.env['MUSTER_TEST_KUBECTL'] ?? 'kubectl')
    return
  }
  const instance = instanceOf(id, state)
  const started = performance.now()
  const outcome = await instance.muster('up')
  if (outcome.code !== 0) throw new Error(`muster up ended with ${outcome.code}:\n${outcome.stdout}\n${outcome.stderr}`)
  console.log(`environment ${id} is up after ${Math.round((performance.now() - started) / 1000)} s`)
  project.provide('instance', id)
  project.provide('state', state)
  project.provide('up', await firstPrinted(`${state}.up`, outcome.stderr + outcome.stdout))
  project.provide('kubeconfig', path.join(state, 'clusters', 'alpha', 'admin.kubeconfig'))
  project.provide('kubectl', path.join(state, 'bin', 'kubectl'))
}

export async function teardown(): Promise<void> {
  if (process.env['MUSTER_TEST_KUBECONFIG'] || process.env['MUSTER_TEST_KEEP']) return
  const { id, state } = environment()
  await instanceOf(id, state).succeed('down', '--purge')
  await rm(`${state}.up`, { force: true })
}

/** What is printed when there is nothing yet, kept in a file for those that come second. */
async function firstPrinted(file: string, now: string): Promise<string> {
  try {
    await writeFile(file, now, { flag: 'wx' })
    return now
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return readFile(file, 'utf8')
  }
}

function environment(): { id: string; state: string } {
  const id = `t${createHash('sha256').update(realpathSync(checkout)).digest('hex').slice(0, 6)}`
  return { id, state: path.join(realpathSync(tmpdir()), `muster-${id}`) }
}
