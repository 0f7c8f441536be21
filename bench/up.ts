import type { Benchmark, UpTimes } from './harness.ts'

/** So long, in seconds, may the steps that build take when everything was built before. */
const builtBeforeSeconds = 10

export const up: Benchmark = {
  name: 'up',
  about: 'from nothing to a hub and two clusters with podinfo running, everything built before',
  run: async (context) => {
    let { up } = await context.instance()
    if (building(up) > builtBeforeSeconds) {
      context.say('something was built for the first time: once more')
      await context.release()
      up = (await context.instance()).up
    }
    const slow = up.steps
      .toSorted((a, b) => b.seconds - a.seconds)
      .slice(0, 5)
      .map(({ title, seconds }) => `${title} ${seconds} s`)
    return [{ figure: 'up to everything ready', unit: 's', values: [up.seconds], below: 60, note: slow.join('; ') }]
  },
}

function building({ steps }: UpTimes): number {
  return steps.filter(({ title }) => / (?:is|are) (?:built|published)/.test(title)).reduce((sum, { seconds }) => sum + seconds, 0)
}
