import { access } from 'node:fs/promises'
import path from 'node:path'
import type { Benchmark } from './harness.ts'
import { run } from './program.ts'

const files = ['test/e2e/kills.test.ts', 'apps/agent/src/faults/kills.integration.test.ts']
const kills = 200

export const kills200: Benchmark = {
  name: 'kills',
  about: `${kills} kills of everything and ${kills} of the agent, and the end state must be that of an undisturbed run (${files.join(', ')}; takes long)`,
  run: async ({ checkout, release, say, signal }) => {
    for (const file of files)
      await access(path.join(checkout, file)).catch((cause: unknown) => {
        throw new Error(`There is no ${file} in this checkout.`, { cause })
      })
    await release()
    say(`${kills} kills, twice`)
    const vitest = path.join(checkout, 'node_modules/vitest/vitest.mjs')
    const started = performance.now()
    await run(process.execPath, [vitest, 'run', '--project', 'e2e', '--project', 'integration', ...files], {
      cwd: checkout,
      env: { ...process.env, MUSTER_TEST_KILLS: String(kills) },
      signal,
    })
    const seconds = (performance.now() - started) / 1000
    return [
      {
        figure: `${kills} kills of everything and ${kills} of the agent survived, with the clusters brought up`,
        unit: 's',
        values: [seconds],
      },
    ]
  },
}
