import { breakGlassKind, customResourceDefinition, enclavePolicyKind, releaseKind, siteOverlayKind } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { systemNamespace } from './names.ts'
import { confined, podDefaults } from './pod.ts'

/** What an agent needs to become a member: where the hub is, what to trust, and the right to join once. */
export interface AgentOptions {
  readonly cluster: string
  /** Image by digest, `name:tag@sha256:…`. */
  readonly image: string
  readonly hubUrl: string
  /** Certificate of the hub's authority, PEM. */
  readonly hubCa: string
  readonly token: string
  /** The trust root that the cluster starts from (`root.json`): pinned here, never taken from the hub. */
  readonly trustRoot: string
}

/** The objects that make a cluster a member, in order of application. */
export function agentObjects(options: AgentOptions): KubeObject[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: systemNamespace } },
    customResourceDefinition(releaseKind),
    customResourceDefinition(enclavePolicyKind),
    customResourceDefinition(siteOverlayKind),
    customResourceDefinition(breakGlassKind),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'muster-agent', namespace: systemNamespace } },
    // A bundle may hold any kind, so the agent may write any kind. Tenants' releases get less: they act as accounts of their own.
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'muster-agent' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'muster-agent', namespace: systemNamespace }],
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'muster-agent-bootstrap', namespace: systemNamespace },
      type: 'Opaque',
      stringData: {
        'hub-url': options.hubUrl,
        'hub-ca.crt': options.hubCa,
        cluster: options.cluster,
        token: options.token,
        'root.json': options.trustRoot,
      },
    },
    agentDeployment(options.image),
  ]
}

/** What a member gets when only the agent's image changes: kinds that the new one knows, and its Deployment. */
export function agentUpgrade(image: string): KubeObject[] {
  return [
    customResourceDefinition(releaseKind),
    customResourceDefinition(enclavePolicyKind),
    customResourceDefinition(siteOverlayKind),
    customResourceDefinition(breakGlassKind),
    agentDeployment(image),
  ]
}

/** The agent's Deployment alone. */
function agentDeployment(image: string): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'muster-agent', namespace: systemNamespace, labels: { app: 'muster-agent' } },
    spec: {
      replicas: 1,
      // Two agents would correct each other's corrections: the old one ends before the new one starts.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { app: 'muster-agent' } },
      template: {
        metadata: { labels: { app: 'muster-agent' } },
        spec: {
          ...podDefaults,
          serviceAccountName: 'muster-agent',
          // The agent must come up before anything that it brings, and stay when a node is short of room.
          priorityClassName: 'system-cluster-critical',
          containers: [
            {
              name: 'agent',
              image,
              securityContext: confined,
              env: [
                { name: 'MUSTER_NAMESPACE', value: systemNamespace },
                { name: 'MUSTER_STORE', value: '/var/lib/muster' },
              ],
              ports: [{ name: 'probes', containerPort: 8081 }],
              readinessProbe: { httpGet: { path: '/readyz', port: 'probes' }, periodSeconds: 2 },
              livenessProbe: { httpGet: { path: '/healthz', port: 'probes' }, periodSeconds: 10, failureThreshold: 6 },
              resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { memory: '256Mi' } },
              volumeMounts: [{ name: 'store', mountPath: '/var/lib/muster' }],
            },
          ],
          volumes: [{ name: 'store', emptyDir: { sizeLimit: '512Mi' } }],
        },
      },
    },
  }
}
