import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Releases: what runs in the clusters, why it stands as it does, and the ways out. */
export function registerRelease(command: Command, context: () => Context): void {
  const release = command
    .command('release')
    .description('See what runs in the clusters, why it stands as it does, and what can be done.')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release list', 'everything everywhere'],
        ['muster release explain podinfo', 'what it waits for, since when, what happens next'],
      ]),
    )

  inClusters(release.command('list'))
    .description('List the releases of the clusters: which version is wanted, which runs, how it stands.')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster release list', 'of all clusters'],
        ['muster release list --cluster alpha -o json', 'of one, for machines'],
      ]),
    )
    .action(async (options) => (await import('../commands/release-list.ts')).releaseList(context(), options))

  inClusters(release.command('explain'))
    .description('Explain a release: what it is, what is wanted, what it waits for, since when, what happens next, what can be done.')
    .argument('<name>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster release explain podinfo', 'in every cluster that has it or is to have it'],
        ['muster release explain podinfo --cluster alpha', 'in one'],
        ['muster release explain podinfo --kubeconfig site.yaml', 'at the site, without the hub'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-explain.ts')).releaseExplain(context(), name, options))

  inClusters(release.command('diff'))
    .description("Show what applying a bundle would do to a release's objects, as the API servers say, without doing it.")
    .argument('<name>')
    .argument('[reference]', 'a bundle (default: the one that is placed)')
    .option('--version <version>', 'another version of the bundle that is placed, or a channel such as stable')
    .option('--exit-code', 'end with 1 where anything would be different', false)
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .option('--plain-http', 'HTTP without TLS, for a registry on loopback', false)
    .option('--ca <file>', 'the certificates to trust for the registry, in PEM')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release diff podinfo', 'what is not as it is placed'],
        ['muster release diff podinfo --version 6.9.3 --cluster alpha', 'what a new version would do there'],
        ['muster release diff podinfo oci:out -o json', 'of a bundle in a folder, for machines'],
      ]),
    )
    .action(async (name: string, reference: string | undefined, options) =>
      (await import('../commands/release-diff.ts')).releaseDiff(context(), name, reference, options),
    )

  inClusters(release.command('suspend'))
    .description(
      'Suspend a release: nothing is applied, corrected or pruned. With --cluster by the site, without by the hub, in all clusters.',
    )
    .argument('<name>')
    .requiredOption('--reason <text>', 'why, for those who look at it later')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release suspend shop --cluster alpha --reason "disk is being changed"', 'in one cluster, by its site'],
        ['muster release suspend shop --reason "release freeze"', 'everywhere, by the hub'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-site.ts')).releaseSuspend(context(), name, options))

  inClusters(release.command('resume'))
    .description('Follow the channel again: takes back a suspension and a hold.')
    .argument('<name>')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release resume shop --cluster alpha', 'what the site said of it'],
        ['muster release resume shop', 'what the hub said of it'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-site.ts')).releaseResume(context(), name, options))

  inClusters(release.command('reconcile'))
    .description('Have the agent verify, apply and compare a release now, and say how it stands then.')
    .argument('<name>')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release reconcile shop', 'in every cluster that has it'],
        ['muster release reconcile shop --cluster alpha', 'in one'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-site.ts')).releaseReconcile(context(), name, options))

  inClusters(release.command('history'))
    .description('Show what was placed, and which versions ran in each cluster: from when to when, why, how each ended.')
    .argument('<name>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster release history shop', 'by the hub and in each cluster'],
        ['muster release history shop --cluster alpha', 'in one'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-history.ts')).releaseHistory(context(), name, options))

  inClusters(release.command('rollback'))
    .description(
      'Go back to a version that ran before. With --cluster the site holds it there, whatever the hub wants; without, the hub places it again.',
    )
    .argument('<name>')
    .option('--to <version>', 'a version or digest of its history (default: the one before that was healthy)')
    .option('--reason <text>', 'why; needed with --cluster, where it is shown as long as it holds')
    .option('--no-wait', 'return without waiting until it is ready everywhere')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release rollback shop --cluster alpha --reason "orders fail"', 'hold the version before, in one cluster'],
        ['muster release rollback shop --to 1.4.2', 'place an older one again, everywhere'],
        ['muster release resume shop --cluster alpha', 'follow the channel again'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-rollback.ts')).releaseRollback(context(), name, options))

  inClusters(release.command('consent'))
    .description(
      'Show what of a release waits to be deleted until somebody consents, and with --reason consent to it: to these objects and no others.',
    )
    .argument('<name>')
    .option('--reason <text>', 'why they may go; without it they are only shown')
    .addHelpText(
      'after',
      examplesOf([
        ['muster release consent shop --cluster alpha', 'what waits'],
        ['muster release consent shop --cluster alpha --reason "data is in the backup of May"', 'let it go'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/release-consent.ts')).releaseConsent(context(), name, options))
}

/** Where a command about releases looks. */
function inClusters(command: Command): Command {
  return command
    .option('--cluster <name>', 'only this cluster')
    .option('--context <name>', 'ask the cluster of this context of a kubeconfig, and not the hub')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config)')
}
