import { containersOf, podSpecOf } from '../images.ts'
import { describeObject, groupOf, isRecord, type KubeObjectLike } from '../object.ts'
import { entriesOf, textsOf } from './permissions.ts'

/** A way in or out. */
export interface Connection {
  readonly direction: 'in' | 'out'
  /** `TCP 9898`, `podinfo.example.test`, `https://api.example.test` */
  readonly what: string
  /** `Service podinfo` */
  readonly object: string
}

const maximumConnections = 20_000
const longestText = 256 * 1024

/**
 * What objects are reached at and what they name to reach: services, ingresses and routes, ports of nodes; URLs and `host:port` in
 * commands, environments and ConfigMaps, webhooks, external names, and where network policies let them out to. What a program has in
 * its code nobody sees here.
 */
export function connectionsOf(objects: readonly KubeObjectLike[]): Connection[] {
  const found = new Map<string, Connection>()
  for (const object of objects) {
    const add = (direction: Connection['direction'], what: string): void => {
      const connection = { direction, what, object: describeObject(object) }
      if (found.size < maximumConnections) found.set([direction, what, connection.object].join('\u0000'), connection)
    }
    const kind = `${groupOf(object)}/${object.kind}`
    const spec = isRecord(object['spec']) ? object['spec'] : {}
    if (kind === '/Service') service(spec, add)
    else if (kind === 'networking.k8s.io/Ingress') for (const rule of entriesOf(spec['rules'])) add('in', hostText(rule['host']))
    else if (/^gateway\.networking\.k8s\.io\/.*Route$/.test(kind)) for (const host of textsOf(spec['hostnames'])) add('in', host)
    else if (kind === 'networking.k8s.io/NetworkPolicy') policy(spec, add)
    else if (kind === '/ConfigMap' && isRecord(object['data'])) for (const text of Object.values(object['data'])) named(text, add)
    for (const webhook of entriesOf(object['webhooks'])) {
      const { url } = isRecord(webhook['clientConfig']) ? webhook['clientConfig'] : {}
      named(url, add)
    }
    pod(object, add)
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, connection]) => connection)
}

type Add = (direction: Connection['direction'], what: string) => void

function service(spec: Record<string, unknown>, add: Add): void {
  if (spec['type'] === 'ExternalName') add('out', String(spec['externalName']))
  const outside = spec['type'] === 'NodePort' || spec['type'] === 'LoadBalancer' ? `, from outside the cluster (${spec['type']})` : ''
  for (const port of entriesOf(spec['ports'])) add('in', `${String(port['protocol'] ?? 'TCP')} ${String(port['port'])}${outside}`)
}

function hostText(host: unknown): string {
  return typeof host === 'string' && host !== '' ? host : 'any host'
}

function policy(spec: Record<string, unknown>, add: Add): void {
  for (const rule of entriesOf(spec['egress'])) {
    const ports = entriesOf(rule['ports']).map(({ protocol, port }) => `${String(protocol ?? 'TCP')} ${String(port ?? 'any')}`)
    const to = entriesOf(rule['to'])
    const blocks = to.flatMap(({ ipBlock }) => (isRecord(ipBlock) ? [String(ipBlock['cidr'])] : []))
    if (to.length === 0) blocks.push('anywhere')
    for (const block of blocks) add('out', `${block}${ports.length === 0 ? '' : ` (${ports.join(', ')})`}`)
  }
}

function pod(object: KubeObjectLike, add: Add): void {
  const spec = podSpecOf(object)
  if (spec === undefined) return
  for (const container of containersOf(spec)) {
    for (const port of entriesOf(container['ports'])) {
      if (port['hostPort'] !== undefined) add('in', `${String(port['protocol'] ?? 'TCP')} ${String(port['hostPort'])} of the node`)
    }
    for (const text of [...textsOf(container['command']), ...textsOf(container['args'])]) named(text, add)
    for (const variable of entriesOf(container['env'])) named(variable['value'], add)
  }
}

const url =
  /([a-z][a-z0-9+.-]{0,20}):\/\/(?:[^\s/@"'<>]{0,200}@)?((?:[A-Za-z0-9-]{1,63}\.){0,20}[A-Za-z0-9-]{1,63}|\[[0-9a-fA-F:]{2,45}\])(:[0-9]{1,5})?/g
const hostAndPort =
  /^(?:--?[A-Za-z0-9._-]{1,100}=)?((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?:[0-9]{2,5})$/
const ownself = /^(?:localhost|127\.|0\.0\.0\.0|\[::1?\])/

/** Never more than scheme, host and port: what stands beside may be a secret. */
function named(text: unknown, add: Add): void {
  if (typeof text !== 'string' || text.length > longestText) return
  for (const [, scheme, host = '', port] of text.matchAll(url)) if (!ownself.test(host)) add('out', `${scheme}://${host}${port ?? ''}`)
  const [, pair] = hostAndPort.exec(text) ?? []
  if (pair !== undefined && !ownself.test(pair)) add('out', pair)
}

/** `Service podinfo listens on TCP 9898` */
export function connectionText({ direction, what, object }: Connection): string {
  if (direction === 'out') return `${object} reaches ${what}`
  return /^(?:TCP|UDP|SCTP) /.test(what) ? `${object} listens on ${what}` : `${object} is reached at ${what}`
}
