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
}

/** Where a command about releases looks. */
function inClusters(command: Command): Command {
  return command
    .option('--cluster <name>', 'only this cluster')
    .option('--context <name>', 'ask the cluster of this context of a kubeconfig, and not the hub')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config)')
}
