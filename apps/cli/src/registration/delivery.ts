import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** From source to running. */
export function registerDelivery(command: Command, context: () => Context): void {
  command
    .command('publish')
    .description('Build the images and the bundle of a folder with a bundle.yaml, sign them, and put them in the registry.')
    .argument('<dir>')
    .option('--version <version>', 'instead of the one that bundle.yaml says, as a pipeline counts them')
    .option('--key <file-or-uri>', 'private key or PKCS#11 URI to sign with instead of the keyring of the instance')
    .option(
      '--passphrase-file <file>',
      'file with the passphrase of the key (or MUSTER_KEY_PASSWORD, COSIGN_PASSWORD; else the terminal asks)',
    )
    .option('--unsigned', 'sign nothing: clusters will refuse it', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster publish examples/podinfo', 'from source to a signed bundle'],
        ['muster publish . --version 1.4.0-rc.2', 'another version than bundle.yaml says'],
        ['muster publish . --key team.key', 'signed with a key of your own'],
      ]),
    )
    .action(async (dir: string, options) => (await import('../commands/publish.ts')).publish(context(), dir, options))

  command
    .command('place')
    .description('Place a published bundle on clusters, or change where it is placed.')
    .argument('[name]', 'name of the bundle; of the release, too')
    .option('-f, --file <file>', 'take what is said of it from a file with Placements: overlays, order, rollout, and where')
    .option('--version <version>', 'which version, or a channel such as stable; the newest when there is only one, else the one placed now')
    .option('--namespace <namespace>', "namespace for the bundle's objects (default: the bundle's name)")
    .option('--on <clusters>', 'names of clusters, separated by commas', (value: string) => value.split(',').filter((name) => name !== ''))
    .option('--nowhere', 'take it away from every cluster', false)
    .addOption(
      new Option(
        '--drift <mode>',
        "what others' writes meet: refused (prevent, at first), put back (correct), or only told (detect)",
      ).choices(['prevent', 'correct', 'detect']),
    )
    .option('--no-wait', 'return without waiting until it is ready')
    .addHelpText(
      'after',
      examplesOf([
        ['muster place podinfo --on alpha,bravo', 'run it on both'],
        ['muster place podinfo --version 6.9.2 --on alpha', 'another version, on one'],
        ['muster place podinfo --on alpha --drift correct', 'let others write, and put it back'],
        ['muster place podinfo --nowhere', 'take it away'],
        ['muster place -f placement.yaml', 'all that a Placement can say (docs/kinds/placement.md)'],
        ['muster place -f placement.yaml --version 6.9.2', 'the same with another version'],
      ]),
    )
    .action(async (name: string | undefined, options) => (await import('../commands/place.ts')).placeBundle(context(), name, options))
}
