import { type Command, Option } from 'commander'
import { collectText } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'
import { registerVerifyBlob } from './verify-blob.ts'

/** Verification. */
export function registerVerify(command: Command, context: () => Context): void {
  const verify = command
    .command('verify')
    .description('Verify bundles, each with its images, and images: by whom they are signed and what is attested of them.')
    .argument('<refs...>', 'host/repository:tag, a repository of the instance, oci:DIR:TAG, or a file in .tar or .tar.zst')
    .option('--policy <file>', 'TrustPolicy objects to verify by (YAML); repeatable', collectText, [])
    .option('--key <file>', 'public key (PEM) with which bundles and images must be signed, each')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .option('--ca <file>', 'certificates (PEM) to trust for the registry')
    .option('--plain-http', 'speak HTTP without TLS, to a registry on loopback')
    .addHelpText(
      'after',
      examplesOf([
        ['muster verify bundles/podinfo:6.9.2 --policy trust.yaml', 'a bundle of the instance, and its images'],
        ['muster verify registry.example/app:1.0 --key team.pub', 'an image, by one key'],
        ['muster verify oci:./media:6.9.2 --policy trust.yaml -o json', 'a folder; nothing is asked of the network'],
      ]),
    )
    .action(async (refs: string[], options) => (await import('../commands/verify.ts')).verify(context(), refs, options))
  registerVerifyBlob(verify, context)
}
