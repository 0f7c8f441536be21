import {
  connectionsOf,
  connectionText,
  describeObject,
  healthRuleText,
  permissionsOf,
  permissionText,
  type ReadBundle,
} from '@muster/bundle'
import type { OpenOptions } from '../artifact.ts'
import { printable, readNamedBundle } from '../bundles.ts'
import type { Context } from '../context.ts'
import { table } from '../table.ts'

export interface BundleInspectOptions extends OpenOptions {
  readonly output: 'text' | 'json'
}

/** `muster bundle inspect REF`: what is in a bundle, what it asks to be allowed, and whom it speaks to. */
export async function bundleInspect(context: Context, reference: string, options: BundleInspectOptions): Promise<void> {
  const { bundle } = await readNamedBundle(context, reference, options)
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(inspection(bundle), undefined, 2)}\n` : inspectionText(bundle))
}

function inspection({ config, descriptor, objects, nested, parameters }: ReadBundle): object {
  const { objects: count, bundles: _, ...rest } = config
  return {
    ...rest,
    digest: descriptor.digest,
    count,
    objects: objects.map(({ apiVersion, kind, metadata: { name, namespace } }) => ({ apiVersion, kind, namespace, name })),
    permissions: permissionsOf(objects),
    connections: connectionsOf(objects),
    bundles: nested,
    parameters,
  }
}

export function inspectionText(bundle: ReadBundle): string {
  const { config, descriptor, objects, nested } = bundle
  const chartOf = (component: string): string => {
    const chart = config.charts?.find((one) => one.component === component)
    return chart === undefined ? '' : `chart ${chart.name} ${chart.version}`
  }
  const sections: [string, string[]][] = [
    ['Components', lines(config.components.map(({ name, objects: count }) => [name, counted(count, 'object'), chartOf(name)]))],
    [
      'Includes',
      lines(nested.map(({ name, version, digest, objects: count }) => [`${name} ${version}`, counted(count, 'object'), digest])),
    ],
    ['Objects', objects.map(describeObject)],
    ['Images', lines(config.images.map(({ name, digest }) => [name, digest]))],
    ['Permissions asked', permissionsOf(objects).map(permissionText)],
    ['Connections', connectionsOf(objects).map(connectionText)],
    ['Parameters', parameterLines(bundle)],
    ['What a site may change', siteLines(bundle)],
    ['Health', bundle.health.map(healthRuleText)],
    ['Hooks', lines((config.hooks ?? []).map(({ object, events }) => [object, events.join(', ')]))],
    ['Left out', lines((config.leftOut ?? []).map(({ from, why }) => [from, why]))],
  ]
  const about = [`${config.name} ${config.version}`, descriptor.digest, ...(config.description === undefined ? [] : [config.description])]
  const body = sections
    .filter(([, list]) => list.length > 0)
    .map(([title, list]) => `\n${[title, ...list.map((line) => `  ${printable(line)}`)].join('\n')}\n`)
  return `${about.map(printable).join('\n')}\n${body.join('')}`
}

const longest = 60

function parameterLines({ config: { charts = [] }, parameters: own }: ReadBundle): string[] {
  const short = (value: unknown): string => {
    const text = value === undefined ? '-' : JSON.stringify(value)
    return text.length > longest ? `${text.slice(0, longest)}…` : text
  }
  const ownRows = own.map(({ name, schema, default: standard, secret, description = '' }) => [
    '-',
    name,
    typeof schema['type'] === 'string' ? schema['type'] : 'any',
    standard !== undefined ? short(standard) : secret === true ? '(secret, to be given)' : '(to be given)',
    (description.split('\n')[0] ?? '').slice(0, 100),
  ])
  const chartRows = charts.flatMap(({ component, parameters }) =>
    parameters.map(({ name, type, default: standard, value, description = '' }) => [
      component,
      name,
      type,
      value === undefined ? short(standard) : `${short(value)} (default ${short(standard)})`,
      (description.split('\n')[0] ?? '').slice(0, 100),
    ]),
  )
  const rows = [...ownRows, ...chartRows]
  return rows.length === 0 ? [] : table(['COMPONENT', 'NAME', 'TYPE', 'VALUE', 'WHAT IT IS'], rows).split('\n')
}

/** Of a bundle that says so; where it says nothing, all parameters that are not secret, and nothing else. */
function siteLines({ config: { siteOverlays } }: ReadBundle): string[] {
  if (siteOverlays === undefined) return []
  const { parameters, allow = [] } = siteOverlays
  const settable = parameters === undefined ? 'parameters that are not secret' : parameters.map((name) => `parameter ${name}`)
  const fields = allow.map(({ kind = 'any kind', name, path = 'anything' }) => [name === undefined ? kind : `${kind} ${name}`, path])
  return [...[settable].flat(), ...lines(fields)]
}

function lines(rows: string[][]): string[] {
  if (rows.length === 0) return []
  return table(rows[0] ?? [], rows.slice(1)).split('\n')
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
