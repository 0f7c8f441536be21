import { type Command, Option } from 'commander'
import { collectLabel } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Bundles: made, listed, looked into, compared. */
export function registerBundle(command: Command, context: () => Context): void {
  const bundle = command
    .command('bundle')
    .description('Make bundles, list them, look into them, compare them, and move their channels.')
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle create examples/podinfo -o oci:out', 'make one in a folder, without signing or publishing it'],
        ['muster bundle inspect bundles/podinfo:6.9.2', 'what is in it, what it asks, whom it speaks to'],
        ['muster bundle diff bundles/podinfo:stable bundles/podinfo:6.9.2', 'what is new'],
      ]),
    )

  reaching(bundle.command('create'))
    .description('Make a bundle of a folder with a bundle.yaml, with its images, unsigned.')
    .argument('<dir>')
    .option('--version <version>', 'instead of the one that bundle.yaml says, as a pipeline counts them')
    .option('-o, --output <where>', 'oci:DIR, archive:FILE, or a repository (default: a layout in the cache)')
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle create examples/podinfo', 'into the cache; prints where'],
        ['muster bundle create examples/podinfo -o oci:out', 'into an OCI layout in the folder out'],
        ['muster bundle create . -o registry.example/bundles/shop', 'into a registry, tagged with its version'],
      ]),
    )
    .action(async (dir: string, options) => (await import('../commands/bundle-create.ts')).bundleCreate(context(), dir, options))

  reaching(bundle.command('list'))
    .description('List versions and channels of a repository or a layout; without one, all bundles of the instance.')
    .argument('[repository]')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle list', 'all of the instance'],
        ['muster bundle list bundles/podinfo', 'its versions, and which of them is stable'],
        ['muster bundle list oci:out -o json', 'those of a folder, for machines'],
      ]),
    )
    .action(async (repository: string | undefined, options) =>
      (await import('../commands/bundle-list.ts')).bundleList(context(), repository, options),
    )

  reaching(bundle.command('inspect'))
    .description('Show what is in a bundle: components, objects, images, parameters, permissions that it asks, connections.')
    .argument('<reference>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle inspect bundles/podinfo:6.9.2', "of the instance's registry"],
        ['muster bundle inspect oci:out -o json', 'of a folder, for machines'],
      ]),
    )
    .action(async (reference: string, options) =>
      (await import('../commands/bundle-inspect.ts')).bundleInspect(context(), reference, options),
    )

  reaching(bundle.command('diff'))
    .description('Say what is another between two bundles: images, permissions, connections, objects by field, parameters.')
    .argument('<from>')
    .argument('<to>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle diff bundles/podinfo:stable bundles/podinfo:6.9.2', 'before it is promoted'],
        ['muster bundle diff oci:old oci:new -o json', 'for machines'],
      ]),
    )
    .action(async (from: string, to: string, options) =>
      (await import('../commands/bundle-diff.ts')).bundleDiff(context(), from, to, options),
    )

  reaching(bundle.command('render'))
    .description(
      'Print what would be applied in a cluster: the objects of a bundle with parameters and overlays, and what made each field.',
    )
    .argument('<reference>')
    .requiredOption('--cluster <name>', 'the cluster')
    .option('--release <name>', "the release; its Placement says the customizations (default: the bundle's name)")
    .option('-f, --file <file>', 'a Placement in a file, instead of the one in the hub; needs no instance')
    .option('--label <key=value>', 'with -f: a label of the cluster, such as muster.dev/environment=test; repeatable', collectLabel, {})
    .option('--origins', 'only list the fields that are not as the bundle has them, and what made them', false)
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle render bundles/podinfo:6.9.2 --cluster bravo', 'as the hub would have it there'],
        ['muster bundle render bundles/podinfo:6.9.2 --cluster bravo --origins', 'which overlay made what'],
        ['muster bundle render oci:out --cluster bravo -f placement.yaml', 'without an instance'],
      ]),
    )
    .action(async (reference: string, options) =>
      (await import('../commands/bundle-render.ts')).bundleRender(context(), reference, options),
    )

  reaching(bundle.command('promote'))
    .description('Let a channel (stable, candidate, …) stand for a bundle from now on.')
    .argument('<reference>')
    .requiredOption('--to <channel>', 'the channel: a tag that moves')
    .addHelpText(
      'after',
      examplesOf([
        ['muster bundle promote bundles/podinfo:6.9.2 --to candidate', 'to be tried'],
        ['muster bundle promote bundles/podinfo:candidate --to stable', 'what was tried'],
      ]),
    )
    .action(async (reference: string, options) =>
      (await import('../commands/bundle-promote.ts')).bundlePromote(context(), reference, options),
    )
}

function reaching(command: Command): Command {
  return command
    .option('--plain-http', 'HTTP without TLS, for a registry on loopback', false)
    .option('--ca <file>', 'the certificates to trust for the registry, in PEM')
}
