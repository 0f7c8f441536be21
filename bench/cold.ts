import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { Benchmark } from './harness.ts'
import { freshInstance, purgeInstance } from './instance.ts'

export const cold: Benchmark = {
  name: 'cold',
  about: 'the first up of a machine: nothing was built before (about 12 minutes, and several GB)',
  run: async (context) => {
    await context.release()
    const cache = path.join(context.scratch, 'cold')
    const options = {
      checkout: context.checkout,
      state: path.join(context.scratch, 'cold-state'),
      signal: context.signal,
      // What Go keeps for itself is part of what a newcomer lacks.
      env: { MUSTER_CACHE: cache, GOCACHE: path.join(cache, 'go-build'), GOMODCACHE: path.join(cache, 'go-mod') },
    }
    try {
      context.say('first build, with nothing cached')
      const { up } = await freshInstance(options)
      const steps = up.steps.map(({ title, seconds }) => `${title} ${seconds} s`)
      return [{ figure: 'first build and up', unit: 's', values: [up.seconds], below: 720, note: steps.join('; ') }]
    } finally {
      await purgeInstance(options)
      await rm(cache, { recursive: true, force: true })
    }
  },
}
