import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Values that only one cluster can read. */
export function registerSeal(command: Command, context: () => Context): void {
  command
    .command('seal')
    .description('Seal a secret value to the key of a cluster, for one parameter of one release there, and put it into the placement.')
    .argument('[parameter]', 'parameter of the bundle that gets the value')
    .requiredOption('--cluster <name>', 'the only cluster that can read it')
    .option('--release <name>', 'the only release that it is for; the name of the placement, too')
    .option('--from-file <file>', 'where the value is; - for standard input (default: standard input; on a terminal it is asked for)')
    .option('--key <file>', 'public key of the cluster (JWK), instead of the one that it reported to the hub')
    .option('--print', 'print the sealed value, and write it nowhere', false)
    .option('--remove', 'take the value out of the placement', false)
    .option('--show-key', "print the cluster's public key", false)
    .option('--rotate', 'have the cluster make a new key, and seal anew to it what is placed there', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster seal password --cluster alpha --release shop', 'asks for the value'],
        ['muster seal password --cluster alpha --release shop --from-file password.txt', 'from a file'],
        ['muster seal password --cluster alpha --release shop --print < password.txt', 'for a file of your own'],
        ['muster seal password --cluster alpha --release shop --remove', 'out of the placement again'],
        ['muster seal --show-key --cluster alpha > alpha.jwk', 'to compare, or for where no hub is'],
        ['muster seal password --cluster alpha --release shop --key alpha.jwk --print < password.txt', 'without a hub'],
        ['muster seal --rotate --cluster alpha', 'a new key; nobody needs the values'],
      ]),
    )
    .action(async (parameter: string | undefined, options) =>
      (await import('../commands/seal.ts')).sealValue(context(), parameter, options),
    )
}
