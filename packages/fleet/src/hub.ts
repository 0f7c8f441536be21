import { createHash } from 'node:crypto'
import { clusterKind, customResourceDefinition, placementKind, tenantKind, trustPolicyKind } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { systemNamespace } from './names.ts'
import { placementRights } from './placement-rights.ts'
import { confined, podDefaults } from './pod.ts'

/** Port on which every node of the hub's cluster answers for the hub. */
export const hubNodePort = 30443

/** A registry and one user of it. */
export interface RegistryAccess {
  /** `host:port` */
  readonly host: string
  /** Certificate of its authority, PEM. */
  readonly ca: string
  readonly writer: { readonly username: string; readonly password: string }
  readonly reader: { readonly username: string; readonly password: string }
  /** Who keeps the registry: tokens, retention, mirrors. */
  readonly admin?: { readonly username: string; readonly password: string } | undefined
}

export interface HubOptions {
  /** Image by digest, `name:tag@sha256:…`. */
  readonly image: string
  /** Serving certificate and key, PEM. */
  readonly tls: { readonly certificate: string; readonly privateKey: string }
  /** The authority that signs cluster identities; `others`: certificates that are trusted beside it while it changes. */
  readonly authority: { readonly certificate: string; readonly privateKey: string; readonly others?: string }
  /** How long identities are valid, and how long after their end they can be renewed, in days. Default: 30 and 180. */
  readonly identities?: { readonly days?: number; readonly renewGraceDays?: number }
  /** Key that signs channels (PKCS#8, PEM) and the root by which it is known. */
  readonly channelKey: string
  readonly trustRoot: string
  readonly registry: RegistryAccess
  /** Whose signatures on bundles count: name → public key (SPKI, PEM). */
  readonly publishers: Readonly<Record<string, string>>
  readonly trustDomain: string
}

/** The objects of the hub, in order of application. */
export function hubObjects(options: HubOptions): KubeObject[] {
  const secret = (name: string, stringData: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: systemNamespace },
    type: 'Opaque',
    stringData,
  })
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: systemNamespace } },
    customResourceDefinition(clusterKind),
    customResourceDefinition(placementKind),
    customResourceDefinition(trustPolicyKind),
    customResourceDefinition(tenantKind),
    ...placementRights(),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'muster-hub', namespace: systemNamespace } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'muster-hub' },
      rules: [
        { apiGroups: ['muster.dev'], resources: ['clusters', 'placements', 'trustpolicies', 'tenants'], verbs: ['get', 'list', 'watch'] },
        {
          apiGroups: ['muster.dev'],
          resources: ['clusters/status', 'placements/status', 'trustpolicies/status', 'tenants/status'],
          verbs: ['get', 'patch', 'update'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'muster-hub' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'muster-hub' },
      subjects: [{ kind: 'ServiceAccount', name: 'muster-hub', namespace: systemNamespace }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'muster-hub', namespace: systemNamespace },
      rules: [
        // Join tokens: read to compare, deleted when used. The hub's own keys are mounted, not read.
        { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch', 'delete'] },
        { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update', 'patch'] },
        { apiGroups: ['events.k8s.io', ''], resources: ['events'], verbs: ['create', 'patch', 'update'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'muster-hub', namespace: systemNamespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'muster-hub' },
      subjects: [{ kind: 'ServiceAccount', name: 'muster-hub', namespace: systemNamespace }],
    },
    secret('muster-hub-tls', { 'tls.crt': options.tls.certificate, 'tls.key': options.tls.privateKey }),
    secret('muster-hub-ca', {
      'ca.crt': options.authority.certificate,
      'ca.key': options.authority.privateKey,
      ...(options.authority.others === undefined ? {} : { 'others.crt': options.authority.others }),
    }),
    secret('muster-hub-channel', { 'channel.key': options.channelKey, 'root.json': options.trustRoot }),
    secret('muster-registry', {
      host: options.registry.host,
      'ca.crt': options.registry.ca,
      'writer-username': options.registry.writer.username,
      'writer-password': options.registry.writer.password,
      'reader-username': options.registry.reader.username,
      'reader-password': options.registry.reader.password,
    }),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'muster-publishers', namespace: systemNamespace },
      data: { ...options.publishers },
    },
    hubService(),
    hubDeployment(options),
  ]
}

function hubService(): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'muster-hub', namespace: systemNamespace },
    spec: {
      type: 'NodePort',
      selector: { app: 'muster-hub' },
      ports: [{ name: 'https', port: 443, targetPort: 'https', nodePort: hubNodePort }],
    },
  }
}

function hubDeployment(options: HubOptions): KubeObject {
  const mounted = ['muster-hub-tls', 'muster-hub-ca', 'muster-hub-channel', 'muster-registry']
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'muster-hub', namespace: systemNamespace, labels: { app: 'muster-hub' } },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { app: 'muster-hub' } },
      template: {
        // The hub reads its keys when it starts: other keys are another pod.
        metadata: { labels: { app: 'muster-hub' }, annotations: { 'muster.dev/settings': settingsHash(options) } },
        spec: {
          ...podDefaults,
          serviceAccountName: 'muster-hub',
          priorityClassName: 'system-cluster-critical',
          containers: [
            {
              name: 'hub',
              image: options.image,
              securityContext: confined,
              env: [
                { name: 'MUSTER_NAMESPACE', value: systemNamespace },
                { name: 'MUSTER_TRUST_DOMAIN', value: options.trustDomain },
                { name: 'MUSTER_SECRETS', value: '/etc/muster' },
                ...days('MUSTER_IDENTITY_DAYS', options.identities?.days),
                ...days('MUSTER_RENEW_GRACE_DAYS', options.identities?.renewGraceDays),
              ],
              ports: [{ name: 'https', containerPort: 8443 }],
              readinessProbe: { httpGet: { path: '/readyz', port: 'https', scheme: 'HTTPS' }, periodSeconds: 2 },
              livenessProbe: { httpGet: { path: '/healthz', port: 'https', scheme: 'HTTPS' }, periodSeconds: 10, failureThreshold: 6 },
              resources: { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '384Mi' } },
              volumeMounts: mounted.map((name) => ({ name, mountPath: `/etc/muster/${name}`, readOnly: true })),
            },
          ],
          volumes: mounted.map((name) => ({ name, secret: { secretName: name, defaultMode: 0o440 } })),
        },
      },
    },
  }
}

function days(name: string, value: number | undefined): { name: string; value: string }[] {
  return value === undefined ? [] : [{ name, value: String(value) }]
}

function settingsHash({ tls, authority, channelKey, trustRoot, registry }: HubOptions): string {
  return createHash('sha256')
    .update(JSON.stringify([tls, authority, channelKey, trustRoot, registry]))
    .digest('hex')
    .slice(0, 16)
}
