import { CommanderError } from 'commander'
import { ExitCode, exitCodeOf, explain } from './errors.ts'
import { program } from './program.ts'

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stop.abort(new Error(`stopped by ${name}`)))
}

// A reader that went away (`muster status | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await program({ environment: process.env, signal: stop.signal, stdout: process.stdout, stderr: process.stderr }).parseAsync(process.argv)
} catch (error) {
  if (!(error instanceof CommanderError || error instanceof ExitCode)) process.stderr.write(`muster: ${explain(error)}\n`)
  process.exitCode = exitCodeOf(error)
}
