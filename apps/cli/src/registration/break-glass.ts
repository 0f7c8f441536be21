import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'
import { signers } from './trust.ts'

/** The way past the write guard. */
export function registerBreakGlass(command: Command, context: () => Context): void {
  signers(command.command('break-glass'))
    .description(
      'Open the write guard of a cluster for one release and a time, signed; without a release: list what is open. What was changed meanwhile is put back at the end.',
    )
    .argument('[release]')
    .requiredOption('--cluster <name>', 'the only cluster that it is for')
    .option('--for <time>', 'how long, such as 30m; at most 24h, or what the site allows')
    .option('--reason <text>', 'why: it is shown with the release, in events and at the hub')
    .option('--by <name>', 'who asks (default: the name of your account)')
    .option('--approve', 'sign what somebody else asked for, where more than one must', false)
    .option('--end', 'close it before its time', false)
    .option('--context <name>', 'the cluster of this context of a kubeconfig')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config); no hub is needed')
    .addOption(new Option('-o, --output <format>', 'how to print the list').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster break-glass shop --cluster alpha --for 30m --reason "orders fail"', "with the instance's own key"],
        ['muster break-glass shop --cluster alpha --for 2h --reason "disk is full" --key ops.key', 'with a key of your own'],
        ['muster break-glass shop --cluster alpha --approve --key security.key', 'the second signature, where two are needed'],
        ['muster break-glass shop --cluster alpha --end', 'close it'],
        ['muster break-glass --cluster alpha', 'what is open there'],
        [
          'muster break-glass shop --cluster site --kubeconfig site.yaml --for 30m --reason "no link" --key ops.key',
          'at a site that is cut off from its hub',
        ],
      ]),
    )
    .action(async (release: string | undefined, options) =>
      (await import('../commands/break-glass.ts')).breakGlassCommand(context(), release, options),
    )
}
