import { Listr } from 'listr2'
import type { Context } from './context.ts'

/** Shows one line below the title of the running step. */
export type Say = (line: string) => void

/** A step of a longer work: what it is called, and what it does. What it returns becomes its title when it is done. */
export interface Step {
  readonly title: string
  readonly run: (say: Say) => Promise<string | undefined>
}

/**
 * Runs steps one after the other. On a terminal each has a line that changes; elsewhere each prints when it starts and ends,
 * and what it says at most every few seconds.
 */
export async function runSteps(context: Context, steps: readonly Step[]): Promise<void> {
  if (!hasLiveLines(context)) return runPlainly(context, steps)
  const list = new Listr<undefined, 'default', 'simple'>(
    steps.map((step) => ({
      title: step.title,
      task: async (_, task): Promise<void> => {
        context.signal.throwIfAborted()
        const done = await step.run((line) => {
          task.output = line
        })
        if (done !== undefined) task.title = done
      },
    })),
    {
      concurrent: false,
      exitOnError: true,
      // Ctrl-C is ours: listr2 would leave at once, with code 127, before what runs has ended and cleaned up.
      registerSignalListeners: false,
      renderer: 'default',
      rendererOptions: { showErrorMessage: false, collapseErrors: false },
    },
  )
  await list.run(undefined)
}

/** Whether lines may change in place: on a terminal that can, of someone who has nothing against it (no-color.org). */
export function hasLiveLines(context: Context): boolean {
  const { NO_COLOR: plain = '', TERM: terminal } = context.environment
  return 'isTTY' in context.stderr && context.stderr.isTTY === true && plain === '' && terminal !== 'dumb'
}

const quietMs = 5000

async function runPlainly(context: Context, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    context.signal.throwIfAborted()
    const started = performance.now()
    let last = started
    context.stderr.write(`· ${step.title}\n`)
    const done = await step.run((line) => {
      if (performance.now() - last < quietMs) return
      last = performance.now()
      context.stderr.write(`    ${line}\n`)
    })
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    context.stderr.write(`✓ ${done ?? step.title} (${seconds} s)\n`)
  }
}
