import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

const output = (): Option => new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table')

/** The embedded registry. */
export function registerRegistry(command: Command, context: () => Context): void {
  const registry = command
    .command('registry')
    .description("Keep the instance's registry in order: usage, garbage, retention, tokens, mirrors, audit, settings.")
    .addHelpText(
      'after',
      examplesOf([
        ['muster registry usage', 'what takes how much room'],
        ['muster registry retain --policy keep.yaml --dry-run', 'what old versions would go'],
        ['muster registry token create ci --scope "repository:team/**:pull,push"', 'a password for one use'],
      ]),
    )

  registry
    .command('usage')
    .description('Show how much each repository holds, and the quotas.')
    .addOption(output())
    .addHelpText('after', examplesOf([['muster registry usage', 'a table, the largest first']]))
    .action(async (options) => (await import('../commands/registry-usage.ts')).usage(context(), options))

  registry
    .command('gc')
    .description('Remove content that nothing names; safe beside pushes. It runs by itself every hour, too.')
    .addHelpText('after', examplesOf([['muster registry gc', 'after "registry retain", to have the room']]))
    .action(async () => (await import('../commands/registry-usage.ts')).collect(context()))

  registry
    .command('retain')
    .description('Remove old tags by a policy; never what a channel, a placement or a cluster needs.')
    .option('--policy <file>', 'rules (default: those of the registry’s settings)')
    .option('--dry-run', 'only say what would go, and why the rest stays', false)
    .addOption(output())
    .addHelpText(
      'after',
      examplesOf([
        ['muster registry retain --policy keep.yaml --dry-run', 'look first'],
        ['muster registry retain --policy keep.yaml', 'do it; "muster registry gc" then makes room'],
      ]),
    )
    .action(async (options) => (await import('../commands/registry-retain.ts')).retain(context(), options))

  registerTokens(registry, context)
  registerMirrors(registry, context)

  registry
    .command('audit')
    .description('Show who changed what in the registry, when and from where; and what was refused.')
    .option('-n, --lines <count>', 'how many of the newest records', count, 50)
    .addOption(output())
    .addHelpText('after', examplesOf([['muster registry audit -n 10', 'the last ten changes']]))
    .action(async (options) => (await import('../commands/registry-audit.ts')).audit(context(), options))

  registry
    .command('configure')
    .description('Check a file of settings, make it the registry’s, and restart the registry.')
    .argument('[file]', 'YAML or JSON; without it, the present settings are printed')
    .option('--check', 'only check it', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster registry configure --check registry.yaml', 'is it right?'],
        ['muster registry configure registry.yaml', 'use it'],
        ['muster registry configure', 'what is set now'],
      ]),
    )
    .action(async (file: string | undefined, options) =>
      (await import('../commands/registry-configure.ts')).configure(context(), file, options),
    )
}

function registerTokens(registry: Command, context: () => Context): void {
  const token = registry
    .command('token')
    .description('Tokens: passwords with scopes, each for one use, that end and can be revoked.')
    .addHelpText('after', examplesOf([['muster registry token list', 'which there are, for what, until when']]))
  token
    .command('create')
    .description('Make a token and print it, this once.')
    .argument('<name>')
    .requiredOption('--scope <scope>', 'repository:PATTERN:pull,push,delete or registry:metrics:pull; repeatable', collect, [])
    .option('--expires <time>', 'after how long it ends: 90d, 12h, 30m (default: never)')
    .option('--replace', 'revoke the one of this name that is there', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster registry token create ci --scope "repository:team/**:pull,push" --expires 90d', 'for a pipeline'],
        ['muster registry token create scrape --scope registry:metrics:pull', 'for Prometheus'],
      ]),
    )
    .action(async (name: string, options) => (await import('../commands/registry-token.ts')).createToken(context(), name, options))
  token
    .command('list')
    .description('List tokens: what they are good for and until when.')
    .addOption(output())
    .addHelpText('after', examplesOf([['muster registry token list', 'a table']]))
    .action(async (options) => (await import('../commands/registry-token.ts')).listTokens(context(), options))
  token
    .command('revoke')
    .description('Make a token count no more, at once.')
    .argument('<name>')
    .addHelpText('after', examplesOf([['muster registry token revoke ci', 'who has it is turned away']]))
    .action(async (name: string) => (await import('../commands/registry-token.ts')).revokeToken(context(), name))
}

function registerMirrors(registry: Command, context: () => Context): void {
  const mirror = registry
    .command('mirror')
    .description('Mirrors to and from other registries, as the settings name them.')
    .addHelpText('after', examplesOf([['muster registry mirror list', 'which there are, and how their last runs went']]))
  mirror
    .command('list')
    .description('List mirrors, and how their last runs went.')
    .addOption(output())
    .addHelpText('after', examplesOf([['muster registry mirror list', 'a table']]))
    .action(async (options) => (await import('../commands/registry-mirror.ts')).listMirrors(context(), options))
  mirror
    .command('run')
    .description('Run a mirror now and wait for its end. What is there already is not sent again.')
    .argument('<name>')
    .addHelpText('after', examplesOf([['muster registry mirror run away', 'go on where it broke off']]))
    .action(async (name: string) => (await import('../commands/registry-mirror.ts')).runMirror(context(), name))
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text]
}

function count(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 to 9999.')
  return Number(text)
}
