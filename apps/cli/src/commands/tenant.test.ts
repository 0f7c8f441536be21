import type { Cluster, Placement, Tenant } from '@muster/api'
import { tenantViews } from '@muster/fleet'
import { describe, expect, it } from 'vitest'
import { tenantTable } from './tenant.ts'

const now = new Date('2030-01-01T00:00:00Z')
const apiVersion = 'muster.dev/v1alpha1'
const cluster = (name: string, labels = {}): Cluster => ({ apiVersion, kind: 'Cluster', metadata: { name, labels }, spec: {} })
const tenant = (name: string, grants: Tenant['spec']['grants'], reason = 'Ready'): Tenant => ({
  apiVersion,
  kind: 'Tenant',
  metadata: { name },
  spec: { grants },
  status: {
    conditions: [
      { type: 'Ready', status: reason === 'Ready' ? 'True' : 'False', reason, message: 'why', lastTransitionTime: '2030-01-01T00:00:00Z' },
    ],
  },
})

const clusters = [cluster('alpha', { site: 'north' }), cluster('bravo')]
const placements = [
  {
    metadata: { name: 'shop' },
    spec: { bundle: { repository: 'bundles/shop', version: '1.2.3', digest: '' }, tenant: 'payments', clusters: { names: ['alpha'] } },
  } as unknown as Placement,
]
const tenants = [
  tenant('payments', [
    { name: 'apps', kinds: ['*'], namespaces: ['shop'], until: '2030-01-04T00:00:00Z' },
    {
      name: 'roles',
      kinds: ['ClusterRole.rbac.authorization.k8s.io'],
      clusters: { matchLabels: { site: 'north' } },
      until: '2029-12-31T12:00:00Z',
    },
  ]),
  tenant('bank', [{ name: 'config', kinds: ['ConfigMap'], namespaces: ['bank'], clusters: { names: ['bravo'] } }], 'NamespaceTaken'),
  tenant('visitor', []),
]

describe('muster tenant list', () => {
  it('shows the level and the duration of every grant (RD-2.1)', () => {
    expect(tenantTable(tenantViews(tenants, placements, clusters, now)).split('\n')).toEqual([
      'TENANT     READY            GRANT    LEVEL       NAMESPACES   CLUSTERS      UNTIL',
      'bank       NamespaceTaken   config   kinds       bank         bravo         no end',
      'payments   yes              apps     namespace   shop         alpha,bravo   2030-01-04T00:00:00Z (in 3 d)',
      'payments   yes              roles    cluster     -            alpha         ended 2029-12-31T12:00:00Z (12 h ago)',
      'visitor    yes              -        nothing     -            -             -',
      '',
      'bank: why',
    ])
  })

  it('knows which releases are whose, and where', () => {
    const [, payments] = tenantViews(tenants, placements, clusters, now)
    expect(payments?.releases).toEqual([{ name: 'shop', version: '1.2.3', clusters: ['alpha'] }])
  })
})
