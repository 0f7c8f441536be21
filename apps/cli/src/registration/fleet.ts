import { Argument, type Command, Option } from 'commander'
import { collectLabel, wholeNumber } from '../arguments.ts'
import type { Context } from '../context.ts'
import { examplesOf } from '../examples.ts'

/** The environment and its clusters. */
export function registerFleet(command: Command, context: () => Context): void {
  command
    .command('up')
    .description('Start the hub and the clusters; build what is missing; run the example in both clusters.')
    .option('--no-install', 'only list the ordinary packages that the host lacks, install none')
    .option('--no-example', 'leave the example application out')
    .option('--context <name=context>', 'take the cluster of a context of your kubeconfig too, by this name; repeatable', collectLabel, {})
    .option('--binaries <dir-or-url>', 'take official release binaries instead of building them')
    .option('--binaries-checksums <file>', 'the checksums (in the format of sha256sum) that those binaries must have')
    .option('--binaries-checksums-sha256 <digest>', 'the digest that the checksums file itself must have')
    .addHelpText(
      'after',
      examplesOf([
        ['muster up', 'everything, with the example application'],
        ['muster up --no-example', 'the hub and two clusters alone'],
        ['muster up --context charlie=prod', 'and a cluster that exists, as charlie'],
        ['muster up --no-install', 'only say which packages the host lacks'],
        ['MUSTER_INSTANCE=two muster up', 'a second instance beside the first'],
      ]),
    )
    .action(async ({ context: outside, ...options }) => {
      const { demandClusterName, joinAll } = await import('../commands/join.ts')
      Object.keys(outside).forEach(demandClusterName)
      await (await import('../commands/up.ts')).up(context(), options)
      await joinAll(context(), outside)
    })

  command
    .command('down')
    .description('Stop everything of the instance and leave nothing of it on the host.')
    .option('--purge', 'forget the state too: clusters, registry, keys', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster down', 'stop; "muster up" resumes'],
        ['muster down --purge', 'forget clusters, registry and keys too'],
      ]),
    )
    .action(async (options) => (await import('../commands/down.ts')).down(context(), options))

  command
    .command('status')
    .description('Show the fleet: clusters, releases, versions, who signed them, whether they are ready, drift.')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      examplesOf([
        ['muster status', 'a table'],
        ['muster status -o json', 'for machines'],
      ]),
    )
    .action(async (options) => (await import('../commands/status.ts')).status(context(), options))

  command
    .command('kubeconfig')
    .description("Print a cluster's administrator kubeconfig.")
    .argument('<cluster>')
    .addHelpText('after', examplesOf([['muster kubeconfig alpha > alpha.yaml', 'for kubectl --kubeconfig and other tools']]))
    .action(async (cluster: string) => (await import('../commands/kubeconfig.ts')).kubeconfig(context(), cluster))

  command
    .command('kubectl')
    .description('Run kubectl against a cluster: muster kubectl alpha -- get pods')
    .argument('<cluster>')
    .argument('[args...]', 'what follows -- goes to kubectl as it is')
    .passThroughOptions()
    .addHelpText(
      'after',
      examplesOf([
        ['muster kubectl alpha -- get pods -A', 'all that runs in alpha'],
        ['muster kubectl hub -- get clusters', 'what the hub knows of its clusters'],
      ]),
    )
    .action(async (cluster: string, args: string[]) => (await import('../commands/kubectl.ts')).kubectl(context(), cluster, args))

  command
    .command('logs')
    .description('Print the log of a component; without one, list the components.')
    .argument('[component]')
    .option('-f, --follow', 'go on printing what is added', false)
    .addHelpText(
      'after',
      examplesOf([
        ['muster logs', 'which components there are'],
        ['muster logs registry -f', 'go on printing'],
        ['muster logs alpha/etcd', 'a component of a cluster'],
      ]),
    )
    .action(async (component: string | undefined, options) => (await import('../commands/logs.ts')).logs(context(), component, options))

  command
    .command('component')
    .description('Stop, start or restart one supervised component, such as registry or alpha/kubelet-alpha-1.')
    .addArgument(new Argument('<action>').choices(['stop', 'start', 'restart']))
    .argument('<name>')
    .addHelpText(
      'after',
      examplesOf([
        ['muster component restart registry', 'what depends on it waits'],
        ['muster component stop hub/kube-apiserver', 'try an outage'],
      ]),
    )
    .action(async (action: 'stop' | 'start' | 'restart', name: string) =>
      (await import('../commands/component.ts')).component(context(), action, name),
    )

  command
    .command('join')
    .description('Make a cluster here, or take one that exists, and make it a member of the fleet.')
    .argument('<cluster>', 'the name that it gets')
    .option('--label <key=value>', 'label that placements can select by; repeatable', collectLabel, {})
    .option('--nodes <count>', 'nodes of a cluster that is made here (default: 1)', wholeNumber)
    .option('--context <name>', 'take the cluster of this context of a kubeconfig, instead of making one')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config)')
    .option('--image <reference>', "agent image, where the cluster's nodes get it by another name; with its digest")
    .addHelpText(
      'after',
      examplesOf([
        ['muster join charlie', 'a cluster of this host'],
        ['muster join delta --context prod', 'one that exists'],
        ['muster join charlie --label region=eu', 'with a label'],
      ]),
    )
    .action(async (cluster: string, options) => (await import('../commands/join.ts')).join(context(), cluster, options))

  command
    .command('leave')
    .description('Take a cluster out of the fleet: its agent goes, and what it installed stays as it is.')
    .argument('<cluster>')
    .option('--prune', 'take away first what was placed on it', false)
    .option('--delete', 'delete the cluster too, which was made here', false)
    .option('--gone', 'the cluster is not there any more: only forget it', false)
    .option('--offline', 'only take the agent out of the cluster, without asking the hub', false)
    .option('--context <name>', 'context of a kubeconfig, for a cluster that joined by one')
    .option('--kubeconfig <file>', 'which kubeconfig (default: KUBECONFIG, or ~/.kube/config)')
    .addHelpText(
      'after',
      examplesOf([
        ['muster leave charlie', 'what runs there stays'],
        ['muster leave charlie --prune --delete', 'nothing of it is left'],
        ['muster leave charlie --offline --context prod', 'at a site whose hub is lost'],
      ]),
    )
    .action(async (cluster: string, options) => (await import('../commands/leave.ts')).leave(context(), cluster, options))

  command
    .command('doctor')
    .description('Say what the host lacks for embedded clusters, and what makes them slow.')
    .addHelpText('after', examplesOf([['muster doctor', 'before the first "muster up"']]))
    .action(async () => (await import('../commands/doctor.ts')).doctor(context()))
}
