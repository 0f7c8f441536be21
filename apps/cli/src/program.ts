import { Command, CommanderError } from 'commander'
import { type Context, contextOf, type GlobalOptions, type Surroundings } from './context.ts'
import { registerBreakGlass } from './registration/break-glass.ts'
import { registerBundle } from './registration/bundle.ts'
import { registerDelivery } from './registration/delivery.ts'
import { registerFleet } from './registration/fleet.ts'
import { registerHealth } from './registration/health.ts'
import { registerRegistry } from './registration/registry.ts'
import { registerRelease } from './registration/release.ts'
import { registerRelocate } from './registration/relocate.ts'
import { registerSeal } from './registration/seal.ts'
import { registerShell } from './registration/shell.ts'
import { registerTenant } from './registration/tenant.ts'
import { registerTrust } from './registration/trust.ts'
import { registerVerify } from './registration/verify.ts'
import { versionText } from './version.ts'

const examples = `
Examples:
  muster up                                   bring up a hub and two clusters, and run podinfo in both
  muster status                               what runs where, signed by whom
  muster kubectl alpha -- get pods -A         speak to a cluster
  muster publish examples/podinfo             from source to a signed bundle in the registry
  muster place podinfo --on alpha             change where it runs
  muster doctor                               what this host lacks, before the first "up"
  muster down                                 stop everything; --purge forgets the state too

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by verification or policy.`

/** The command line. Each command is loaded when it is used, so that none pays for another. */
export function program(surroundings: Surroundings): Command {
  const command = new Command('muster')
    .description('Multi-cluster Kubernetes where nothing runs until it passes muster.')
    .option('--instance <id>', 'which instance to speak to (or MUSTER_INSTANCE)')
    .addHelpText('after', examples)
    .configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'muster: ')),
    })
    .showHelpAfterError('Run "muster --help" for what there is.')
    .exitOverride()
    // What stands behind a command is the command's: `place --version` is not `muster --version`.
    .enablePositionalOptions()
    .option('-V, --version', 'print the versions of Muster and of the Kubernetes that it builds')
    .on('option:version', () => {
      surroundings.stdout.write(versionText())
      throw new CommanderError(0, 'commander.version', 'version')
    })

  const context = (): Context => contextOf(surroundings, command.opts<GlobalOptions>())

  registerFleet(command, context)
  registerDelivery(command, context)
  registerRelease(command, context)
  registerBreakGlass(command, context)
  registerTenant(command, context)
  registerSeal(command, context)
  registerBundle(command, context)
  registerTrust(command, context)
  registerVerify(command, context)
  registerHealth(command, context)
  registerRelocate(command, context)
  registerRegistry(command, context)
  registerShell(command, surroundings)

  pointToHelp(command, 'muster')
  return command
}

/** After a wrong use, each command says where its own help is. */
function pointToHelp(command: Command, path: string): void {
  for (const one of command.commands) {
    one.showHelpAfterError(`Run "${path} ${one.name()} --help" for how it is used.`)
    pointToHelp(one, `${path} ${one.name()}`)
  }
}
