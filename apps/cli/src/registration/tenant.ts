import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Whose releases are whose, and what they may. */
export function registerTenant(command: Command, context: () => Context): void {
  const tenant = command
    .command('tenant')
    .description('See tenants: what their releases may make, where, and until when.')
    .addHelpText('after', examplesOf([['muster tenant list', 'all tenants, with the level and the duration of their grants']]))

  tenant
    .command('list')
    .description('List tenants with their grants: level, where, and how long.')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster tenant list', 'a row for each grant'],
        ['muster tenant list -o json', 'for machines'],
      ]),
    )
    .action(async (options) => (await import('../commands/tenant.ts')).tenantList(context(), options))

  tenant
    .command('show')
    .description('Show a tenant: its grants in full, its releases, and what is wrong with it.')
    .argument('<name>')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .addHelpText('after', examplesOf([['muster tenant show payments', 'what it may, until when, and what it runs']]))
    .action(async (name: string, options) => (await import('../commands/tenant.ts')).tenantShow(context(), name, options))
}
