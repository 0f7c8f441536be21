import { type Command, Option } from 'commander'
import { byteCount, collectRate, collectText, wholeNumber } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** From any place to any other. */
export function registerRelocate(command: Command, context: () => Context): void {
  command
    .command('relocate')
    .description('Bring bundles and images, with all that hangs on them, from any place to any other: registry, folder, file.')
    .argument('<places...>', 'from where (one or more), then to where; what ends in / is a place for several')
    .option('--since <digest-or-file>', 'leave out what an earlier artifact or archive brought there already')
    .option('--policy <file>', 'TrustPolicy objects that it must satisfy, before and after (YAML); repeatable', collectText, [])
    .option('--key <file>', 'public key (PEM) with which bundles and images must be signed, each')
    .option('--part-size <bytes>', 'split an archive into parts of at most this, beside a list of their checksums', byteCount)
    .option('--jobs <count>', 'how much is asked and sent at once (default: 4)', wholeNumber)
    .option('--rate <bound>', 'use each registry no faster than 20/s (requests) or 10MiB/s; repeatable', collectRate, {})
    .option('--mirror', "bring a bundle's images to where nodes look for their names, too (default: in the instance's own registry)")
    .option('--no-mirror', "leave a bundle's images in the bundle's repository alone")
    .option('--ca <file>', 'certificates (PEM) to trust for the registries')
    .option('--plain-http', 'speak HTTP without TLS, to registries on loopback')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster relocate bundles/podinfo:6.9.2 podinfo.tar.zst', 'to a file'],
        ['muster relocate podinfo.tar.zst bundles/podinfo:6.9.2', 'into the registry of an instance; then place it'],
        ['muster relocate registry.example/app:1.0 other.example/app', 'from registry to registry'],
        ['muster relocate bundles/podinfo:6.9.3 next.tar --since podinfo.tar.zst', 'only what changed'],
        ['muster relocate bundles/a:1 bundles/b:2 media.tar --part-size 1GiB', 'several, in parts'],
        ['muster relocate bundles/a:1 bundles/b:2 oci:./media', 'several, to a folder'],
        ['muster relocate media.tar registry.example/team/ --policy trust.yaml', 'all in a file, verified'],
      ]),
    )
    .action(async (places: string[], options) => (await import('../commands/relocate.ts')).relocateCommand(context(), places, options))
}
