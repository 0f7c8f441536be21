import type { Benchmark } from './harness.ts'

export const up: Benchmark = {
  name: 'up',
  about: 'from nothing to a hub and two clusters with podinfo running, everything built before',
  run: async (context) => {
    const { up } = await context.instance()
    const slow = up.steps
      .toSorted((a, b) => b.seconds - a.seconds)
      .slice(0, 4)
      .map(({ title, seconds }) => `${title} ${seconds} s`)
    return [{ figure: 'up to everything ready', unit: 's', values: [up.seconds], below: 60, note: slow.join('; ') }]
  },
}
