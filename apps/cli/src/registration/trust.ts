import { type Command, Option } from 'commander'
import { collectLabel, collectText } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Keys, signatures, attestations. */
export function registerTrust(command: Command, context: () => Context): void {
  registerKey(command, context)

  signing(command.command('sign'))
    .description('Sign artifacts: bundles, images, anything in a registry or a folder, by their digests.')
    .argument('<reference...>', 'such as bundles/podinfo:6.9.2, registry.example/app@sha256:…, oci:DIR:TAG')
    .option('-a, --annotation <key=value>', 'signed with it; repeatable', collectLabel, {})
    .option('--recursive', "sign what an index holds too: a bundle's images, the images of each platform", false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster sign bundles/podinfo:6.9.2', "with the instance's own key"],
        ['muster sign registry.example/app:1.0 --key team.key', 'with a key in a file'],
        ['muster sign bundles/podinfo:6.9.2 --key a.key --key b.key', 'by two signers'],
        ['muster sign bundles/podinfo:6.9.2 --key team.key --recursive', 'the bundle, and each image in it'],
        ["muster sign app:1.0 --key 'pkcs11:token=team;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so'", 'with a token'],
        ['muster sign registry.example/app:1.0 --key team.key --format cosign-tag', 'for cosign 1 and 2'],
      ]),
    )
    .action(async (references: string[], options) => (await import('../commands/sign.ts')).sign(context(), references, options))

  signing(command.command('attest'))
    .description('Attach a signed statement to an artifact: provenance, SBOM, scan, test result, approval, or any other.')
    .argument('<reference>')
    .requiredOption(
      '--type <type>',
      'slsaprovenance, spdx, cyclonedx, vuln, scan, compliance, test-result, approval, or the URI of any predicate type',
    )
    .requiredOption('--predicate <file>', 'what it says, JSON; - for standard input')
    .option('--schema <file>', 'JSON Schema that the predicate must meet')
    .addHelpText(
      'after',
      examplesOf([
        ['muster attest bundles/podinfo:6.9.2 --type spdx --predicate sbom.json', 'an SBOM'],
        ['muster attest registry.example/app:1.0 --type scan --predicate - --key team.key', 'what a scanner prints'],
        [
          'muster attest registry.example/app:1.0 --type https://example.test/review/v1 --predicate review.json --schema review.schema.json',
          'a type of your own',
        ],
      ]),
    )
    .action(async (reference: string, options) => (await import('../commands/attest.ts')).attest(context(), reference, options))

  reaching(command.command('tree'))
    .description('List what an artifact holds and what hangs on each part: signatures, attestations, SBOMs. Verifies nothing.')
    .argument('<reference>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster tree bundles/podinfo:6.9.2', "a bundle of the instance's registry"],
        ['muster tree registry.example/app:1.0 -o json', 'for machines'],
      ]),
    )
    .action(async (reference: string, options) => (await import('../commands/tree.ts')).tree(context(), reference, options))
}

function registerKey(command: Command, context: () => Context): void {
  const key = command
    .command('key')
    .description('Keys to sign with.')
    .addHelpText(
      'after',
      examplesOf([
        ['muster key create team', 'team.key, encrypted, and team.pub'],
        ['muster key show team.pub', 'its kind and its id'],
      ]),
    )
  const format = (): Option => new Option('--format <format>', "pkcs8 (AES-256, FIPS 140), or cosign's own").choices(['pkcs8', 'cosign'])

  passphrase(key.command('create'))
    .description('Make a private key NAME.key and its public half NAME.pub.')
    .argument('<name>')
    .addOption(new Option('--curve <curve>', 'of ECDSA').choices(['P-256', 'P-384']).default('P-256'))
    .addOption(format().default('pkcs8'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster key create team', 'asks for a passphrase; team.key, team.pub'],
        ['muster key create team --format cosign', 'that cosign can sign with, too'],
        ['muster key create team --curve P-384 --passphrase-file secret', 'for a script'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/key.ts')).keyCreate(context(), name, options))

  passphrase(key.command('show'))
    .description('Show what a key is, and its public half.')
    .argument('<key>', 'file with a private or public key, or PKCS#11 URI')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json', 'pem']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster key show team.pub', 'its kind and id'],
        ['muster key show team.key -o pem > team.pub', 'the public half of a private key'],
      ]),
    )
    .action(async (where: string, options) => (await import('../commands/key.ts')).keyShow(context(), where, options))

  passphrase(key.command('convert'))
    .description('Write a private key in another format, or under another passphrase.')
    .argument('<file>')
    .addOption(format().makeOptionMandatory())
    .requiredOption('--out <file>', 'where to write it; nothing is overwritten')
    .option('--new-passphrase-file <file>', 'file with the passphrase to encrypt it with (default: the one that it has)')
    .option('--plain', 'do not encrypt it', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster key convert cosign.key --format pkcs8 --out team.key', 'from cosign, for OpenSSL and others'],
        ['muster key convert team.key --format cosign --out cosign.key', 'for cosign'],
      ]),
    )
    .action(async (file: string, options) => (await import('../commands/key.ts')).keyConvert(context(), file, options))
}

/** The options of what signs artifacts. */
function signing(command: Command): Command {
  return signers(reaching(command)).addOption(
    new Option('--format <format>', 'how it is attached: a Sigstore bundle, or the tags of cosign 1 and 2')
      .choices(['bundle', 'cosign-tag'])
      .default('bundle'),
  )
}

/** Who signs, and with which services. */
export function signers(command: Command): Command {
  return passphrase(command)
    .option('--key <file-or-uri>', "private key, or PKCS#11 URI; repeatable (default: the instance's publisher)", collectText, [])
    .option('--certificate <file>', "certificate of the key, and its chain, of one's own PKI (PEM)")
    .option('--timestamp-server <url>', 'have each signature time-stamped (RFC 3161)')
    .option('--signing-config <file>', 'services of a private Sigstore: Fulcio, Rekor, timestamp authority')
    .option(
      '--identity-token-file <file>',
      'sign without a key of your own: for who this OIDC token says, by the Fulcio of --signing-config',
    )
    .option('--service-ca <file>', 'certificates (PEM) to trust for these services')
}

/** The options of what speaks to a registry. */
function reaching(command: Command): Command {
  return command
    .option('--plain-http', 'HTTP without TLS, for a registry on loopback', false)
    .option('--ca <file>', 'certificates (PEM) to trust for the registry')
}

function passphrase(command: Command): Command {
  return command.option(
    '--passphrase-file <file>',
    'file with the passphrase or PIN in its first line (or MUSTER_KEY_PASSWORD, COSIGN_PASSWORD; else the terminal asks)',
  )
}
