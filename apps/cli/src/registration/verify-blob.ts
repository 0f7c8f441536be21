import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** `muster verify blob`, below `muster verify`. */
export function registerVerifyBlob(verify: Command, context: () => Context): void {
  verify
    .command('blob')
    .description('Verify a Sigstore bundle (v0.1 to v0.3) over a file, offline: signature, signer, log entries, time stamps.')
    .argument('<file>', 'the file, or its digest sha256:… where the bundle holds a statement')
    .requiredOption('--bundle <file>', 'the bundle, as cosign, sigstore-python and npm write it')
    .option('--key <file>', 'public key (PEM) that must have signed')
    .option('--trusted-root <file>', 'trusted_root.json of the Sigstore instance, public or private')
    .option('--roots <file>', 'roots (PEM) of an own PKI')
    .option('--intermediates <file>', 'further certificates (PEM) of the own PKI')
    .option('--timestamp-authorities <file>', 'roots (PEM) of the timestamp authorities that are believed, with --roots')
    .option('--certificate-identity <name>', 'who must have signed: email, URI or DNS name in the certificate')
    .option('--certificate-identity-regexp <pattern>', 'the same as a pattern (RE2) of the whole name')
    .option('--certificate-oidc-issuer <url>', 'who must vouch for the name; with --roots the name of the issuing authority')
    .option('--certificate-oidc-issuer-regexp <pattern>', 'the same as a pattern (RE2) of the whole name')
    .option('--tlog-threshold <count>', 'log entries that must hold (default: 1 where the trusted root names a log)', threshold)
    .option('--timestamp-threshold <count>', 'proofs of time that must hold (default: 1 where the trusted root names any)', threshold)
    .option(
      '--sct-threshold <count>',
      'certificate log proofs that must hold (default: 1 where the trusted root names a CT log)',
      threshold,
    )
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster verify blob app.tar --bundle app.sigstore.json --key team.pub', 'signed with a key'],
        [
          'muster verify blob app.tar --bundle app.sigstore.json --trusted-root trusted_root.json --certificate-identity me@example.test --certificate-oidc-issuer https://login.example.test',
          'signed by a person, keyless',
        ],
        [
          'muster verify blob app.tar --bundle app.sigstore.json --roots ca.pem --certificate-identity release@example.test',
          'signed with a certificate of an own PKI',
        ],
      ]),
    )
    .action(async (file: string, options) => (await import('../commands/verify-blob.ts')).verifyBlobCommand(context(), file, options))
}

function threshold(text: string): number {
  if (!/^\d$/.test(text)) throw new InvalidArgumentError('It is a whole number from 0 to 9.')
  return Number(text)
}
