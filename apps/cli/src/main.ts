import { CommanderError } from 'commander'
import { ExitCode, exitCodeOf, explain, Interrupted } from './errors.ts'
import { program } from './program.ts'

/** A second signal while the first is obeyed ends the process at once. */
const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Not once: libraries that restore the terminal end the process when no listener is left.
  process.on(name, () => {
    const reason = new Interrupted(name)
    if (stop.signal.aborted) process.exit(reason.exitCode)
    stop.abort(reason)
  })
}

function report(thrown: unknown): void {
  // What was interrupted says so in many ways; the signal's own reason counts.
  const error: unknown = stop.signal.aborted && !(thrown instanceof ExitCode) ? stop.signal.reason : thrown
  if (!(error instanceof CommanderError || error instanceof ExitCode)) {
    process.stderr.write(`muster: ${explain(error, { debug: Boolean(process.env['MUSTER_DEBUG']) })}\n`)
  }
  process.exitCode = exitCodeOf(error)
}

process.on('uncaughtException', (error) => {
  report(error)
  process.exit()
})

// A reader that went away (`muster status | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
    throw error
  })
}

try {
  await program({ environment: process.env, signal: stop.signal, stdout: process.stdout, stderr: process.stderr }).parseAsync(process.argv)
} catch (error) {
  report(error)
}
