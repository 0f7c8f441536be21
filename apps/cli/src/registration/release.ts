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
}

/** Where a command about releases looks. */
function inClusters(command: Command): Command {
  return command
    .option('--cluster <name>', 'only this cluster')
    .option('--context <name>', 'ask the cluster of this context of a kubeconfig, and not the hub')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config)')
}
