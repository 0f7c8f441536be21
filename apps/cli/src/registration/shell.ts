import { Argument, type Command } from 'commander'
import type { Surroundings } from '../context.ts'
import { examplesOf } from '../examples.ts'
import { versionText } from '../version.ts'

/** The command line itself. */
export function registerShell(command: Command, surroundings: Surroundings): void {
  command
    .command('version')
    .description('Print the versions of Muster and of the Kubernetes that it builds.')
    .addHelpText('after', examplesOf([['muster version', 'the same as muster --version']]))
    .action(() => {
      surroundings.stdout.write(versionText())
    })

  command
    .command('completion')
    .description('Print a script by which a shell completes commands, options, clusters and components.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      examplesOf([
        ['source <(muster completion bash)', 'for this shell'],
        ['muster completion bash > /etc/bash_completion.d/muster', 'for every shell from now on'],
        ['source <(muster completion zsh)', 'the same for zsh'],
        ['muster completion fish | source', 'the same for fish'],
      ]),
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish') => (await import('../commands/completion.ts')).completion(surroundings, command, shell))
}
