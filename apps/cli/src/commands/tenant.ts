import { apiVersion, type Cluster, type Placement, type Tenant } from '@muster/api'
import { type GrantView, type TenantView, tenantViews } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { type Context, withCluster } from '../context.ts'
import { Failure } from '../errors.ts'
import { table } from '../table.ts'

/** `muster tenant list`: level and duration of what tenants were granted. */
export async function tenantList(context: Context, options: { readonly output: 'table' | 'json' }): Promise<void> {
  const tenants = await readTenants(context)
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(tenants, undefined, 2)}\n` : `${tenantTable(tenants)}\n`)
}

/** `muster tenant show NAME` */
export async function tenantShow(context: Context, name: string, options: { readonly output: 'text' | 'json' }): Promise<void> {
  const tenants = await readTenants(context)
  const tenant = tenants.find((one) => one.name === name)
  if (tenant === undefined) {
    const known = tenants.map((one) => one.name).join(', ')
    throw new Failure(
      `There is no tenant ${name}. ${known === '' ? 'There is none at all: docs/tenants.md has how one is made.' : `There is: ${known}.`}`,
    )
  }
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(tenant, undefined, 2)}\n` : `${tenantText(tenant)}\n`)
}

async function readTenants(context: Context): Promise<TenantView[]> {
  return withCluster(context, 'hub', async (hub) => {
    const all = async <T>(kind: string) => (await hub.list<T & KubeObject>({ apiVersion, kind }, { signal: context.signal })).items
    return tenantViews(await tenantsOf(hub, context), await all<Placement>('Placement'), await all<Cluster>('Cluster'), new Date())
  })
}

async function tenantsOf(hub: KubeClient, { signal }: Context): Promise<Tenant[]> {
  const { items } = await hub.list<Tenant & KubeObject>({ apiVersion, kind: 'Tenant' }, { signal })
  return items
}

export function tenantTable(tenants: readonly TenantView[]): string {
  if (tenants.length === 0) return 'There are no tenants: every release acts with the rights of the agent.'
  const rows = tenants.flatMap((tenant) => {
    const own = [tenant.name, tenant.ready ? 'yes' : tenant.reason]
    if (tenant.grants.length === 0) return [[...own, '-', 'nothing', '-', '-', '-']]
    return tenant.grants.map((grant) => [
      ...own,
      grant.name,
      grant.level,
      grant.namespaces.join(',') || '-',
      grant.clusters.join(',') || '-',
      duration(grant),
    ])
  })
  const notes = tenants.filter((tenant) => !tenant.ready).map((tenant) => `${tenant.name}: ${tenant.message}`)
  return [
    table(['TENANT', 'READY', 'GRANT', 'LEVEL', 'NAMESPACES', 'CLUSTERS', 'UNTIL'], rows),
    ...(notes.length ? ['', ...notes] : []),
  ].join('\n')
}

function tenantText(tenant: TenantView): string {
  const { name, displayName, contact, grants, releases } = tenant
  const title = [`Tenant ${name}`, displayName, contact].filter((part) => part !== undefined && part !== '').join(', ')
  return [
    `${title}: ${tenant.ready ? 'ready' : `${tenant.reason}. ${tenant.message}`}`,
    '',
    'May have its releases make:',
    ...(grants.length === 0 ? ['  nothing'] : grants.flatMap(grantText)),
    '',
    'Releases:',
    ...(releases.length === 0
      ? ['  none']
      : releases.map((release) => `  ${release.name} ${release.version} on ${release.clusters.join(', ') || 'no cluster'}`)),
  ].join('\n')
}

function grantText(grant: GrantView): string[] {
  const where = grant.namespaces.length === 0 ? 'in no namespace' : `in ${grant.namespaces.join(', ')}`
  const what = grant.level === 'namespace' ? 'all kinds' : grant.kinds.join(', ')
  return [
    `  ${grant.name} (${grant.level}), ${duration(grant)}`,
    `    ${what} ${where}, on ${grant.clusters.join(', ') || 'no cluster'}`,
    ...(grant.reason === undefined ? [] : [`    ${grant.reason}`]),
  ]
}

/** How long a grant holds. */
function duration({ until, secondsLeft }: GrantView): string {
  if (until === undefined || secondsLeft === undefined) return 'no end'
  return secondsLeft > 0 ? `${until} (in ${span(secondsLeft)})` : `ended ${until} (${span(-secondsLeft)} ago)`
}

function span(seconds: number): string {
  const units = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const
  const [size, unit] = units.find(([one]) => seconds >= 2 * one) ?? [1, 's']
  return `${Math.floor(seconds / size)} ${unit}`
}
