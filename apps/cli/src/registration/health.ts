import { type Command, Option } from 'commander'
import { collectText } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** Health of objects. */
export function registerHealth(command: Command, context: () => Context): void {
  command
    .command('health')
    .description('Say how Kubernetes objects are, and why: Healthy, Progressing, Degraded, Suspended or Unknown. Asks no cluster.')
    .option(
      '-f, --filename <file>',
      'objects as "kubectl get -o yaml" or "-o json" prints them; - for standard input; repeatable',
      collectText,
      [],
    )
    .option('--rules <file>', 'rules for custom resources, under health: as in a bundle.yaml; repeatable', collectText, [])
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      `${examplesOf([
        ['muster kubectl alpha -- get deploy,pvc -A -o yaml | muster health -f -', 'what runs in a cluster'],
        ['muster health -f caches.yaml --rules bundle.yaml', 'custom resources, by the rules of a bundle'],
        ['muster health -f web.yaml -f job.json -o json', 'files, for machines'],
      ])}\n\nExit codes: 0 all are healthy or suspended, 1 one is not, 2 a file holds no objects.`,
    )
    .action(async (options) => (await import('../commands/health.ts')).healthCommand(context(), options))
}
