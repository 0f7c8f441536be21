import { Argument, Command, Option } from 'commander'
import { type Context, contextOf, type GlobalOptions, type Surroundings } from './context.ts'

const examples = `
Examples:
  muster up                                   bring up a hub and two clusters, and run podinfo in both
  muster status                               what runs where, signed by whom
  muster kubectl alpha -- get pods -A         speak to a cluster
  muster publish examples/podinfo             from source to a signed bundle in the registry
  muster place podinfo --on alpha             change where it runs
  muster down                                 stop everything; --purge forgets the state too

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by verification or policy.`

/** The command line. Each command is loaded when it is used, so that none pays for another. */
export function program(surroundings: Surroundings): Command {
  const command = new Command('muster')
    .description('Multi-cluster Kubernetes where nothing runs until it passes muster.')
    .option('--instance <id>', 'which instance to speak to (or MUSTER_INSTANCE)')
    .addHelpText('after', examples)
    .configureOutput({ writeOut: (text) => surroundings.stdout.write(text), writeErr: (text) => surroundings.stderr.write(text) })
    .showHelpAfterError('Run "muster --help" for what there is.')
    .exitOverride()
    // What stands behind a command is the command's: `place --version` is not `muster --version`.
    .enablePositionalOptions()
    .version('0.1.0')

  const context = (): Context => contextOf(surroundings, command.opts<GlobalOptions>())

  command
    .command('up')
    .description('Start the hub and the clusters; build what is missing; run the example in both clusters.')
    .option('--no-install', 'only list the ordinary packages that the host lacks, install none')
    .option('--no-example', 'leave the example application out')
    .option('--binaries <dir-or-url>', 'take official release binaries instead of building them')
    .option('--binaries-checksums <file>', 'the checksums (in the format of sha256sum) that those binaries must have')
    .option('--binaries-checksums-sha256 <digest>', 'the digest that the checksums file itself must have')
    .action(async (options) => (await import('./commands/up.ts')).up(context(), options))

  command
    .command('down')
    .description('Stop everything of the instance and leave nothing of it on the host.')
    .option('--purge', 'forget the state too: clusters, registry, keys', false)
    .action(async (options) => (await import('./commands/down.ts')).down(context(), options))

  command
    .command('status')
    .description('Show the fleet: clusters, releases, versions, who signed them, whether they are ready, drift.')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table'))
    .action(async (options) => (await import('./commands/status.ts')).status(context(), options))

  command
    .command('kubeconfig')
    .description("Print a cluster's administrator kubeconfig.")
    .argument('<cluster>')
    .action(async (cluster: string) => (await import('./commands/kubeconfig.ts')).kubeconfig(context(), cluster))

  command
    .command('kubectl')
    .description('Run kubectl against a cluster: muster kubectl alpha -- get pods')
    .argument('<cluster>')
    .argument('[args...]', 'what follows -- goes to kubectl as it is')
    .passThroughOptions()
    .action(async (cluster: string, args: string[]) => (await import('./commands/kubectl.ts')).kubectl(context(), cluster, args))

  command
    .command('logs')
    .description('Print the log of a component; without one, list the components.')
    .argument('[component]')
    .option('-f, --follow', 'go on printing what is added', false)
    .action(async (component: string | undefined, options) => (await import('./commands/logs.ts')).logs(context(), component, options))

  command
    .command('component')
    .description('Stop, start or restart one supervised component, such as registry or alpha/kubelet-alpha-1.')
    .addArgument(new Argument('<action>').choices(['stop', 'start', 'restart']))
    .argument('<name>')
    .action(async (action: 'stop' | 'start' | 'restart', name: string) =>
      (await import('./commands/component.ts')).component(context(), action, name),
    )

  command
    .command('publish')
    .description('Build the images and the bundle of a folder with a bundle.yaml, sign them, and put them in the registry.')
    .argument('<dir>')
    .option('--key <file>', 'private key (PKCS#8, PEM, ECDSA P-256) to sign with instead of the keyring of the instance')
    .option('--unsigned', 'sign nothing: clusters will refuse it', false)
    .action(async (dir: string, options) => (await import('./commands/publish.ts')).publish(context(), dir, options))

  command
    .command('place')
    .description('Place a published bundle on clusters, or change where it is placed.')
    .argument('<name>', 'name of the bundle; of the release, too')
    .option('--version <version>', 'which version; the newest when there is only one, else the one placed now')
    .option('--namespace <namespace>', "namespace for the bundle's objects (default: the bundle's name)")
    .option('--on <clusters>', 'names of clusters, separated by commas', (value: string) => value.split(',').filter((name) => name !== ''))
    .option('--nowhere', 'take it away from every cluster', false)
    .option('--no-wait', 'return without waiting until it is ready')
    .action(async (name: string, options) => (await import('./commands/place.ts')).placeBundle(context(), name, options))

  command
    .command('doctor')
    .description('Say what the host lacks for embedded clusters.')
    .action(async () => (await import('./commands/doctor.ts')).doctor(context()))

  return command
}
