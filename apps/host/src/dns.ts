import type { KubeObject } from '@muster/kube'
import type { ClusterPlan } from './instance.ts'

const name = 'coredns'
const namespace = 'kube-system'
const labels = { 'k8s-app': 'kube-dns', 'app.kubernetes.io/name': name, 'app.kubernetes.io/managed-by': 'muster-host' }
/** Above 1023: the process has no privilege. The Service maps 53 to it. */
const port = 5353

/** Knows the cluster's names only. Nothing is forwarded: closed by default, what a cluster may ask outside is opened by name. */
const corefile = `.:${port} {
    errors
    health :8080
    ready :8181
    prometheus :9153
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods verified
        ttl 15
    }
    cache 15
    loadbalance
    reload
}
`

/** Cluster DNS: CoreDNS behind the Service address that every node's kubelet gives to pods. */
export function dnsObjects(cluster: ClusterPlan, image: string): KubeObject[] {
  const meta = (objectName: string) => ({ name: objectName, namespace, labels })
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta(name) },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'muster:coredns', labels },
      rules: [
        { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'muster:coredns', labels },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'muster:coredns' },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta(name), data: { Corefile: corefile } },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: meta(name), spec: deployment(image) },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta('kube-dns'),
      spec: {
        clusterIP: cluster.dns,
        selector: { 'k8s-app': 'kube-dns' },
        ports: [
          { name: 'dns', port: 53, targetPort: port, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, targetPort: port, protocol: 'TCP' },
          { name: 'metrics', port: 9153, targetPort: 9153, protocol: 'TCP' },
        ],
      },
    },
  ]
}

function deployment(image: string): object {
  const probe = (path: string, probed: number) => ({ httpGet: { path, port: probed, scheme: 'HTTP' }, periodSeconds: 2, timeoutSeconds: 2 })
  return {
    replicas: 1,
    selector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    template: {
      metadata: { labels },
      spec: {
        serviceAccountName: name,
        priorityClassName: 'system-cluster-critical',
        dnsPolicy: 'Default',
        securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name,
            image,
            args: ['-conf', '/etc/coredns/Corefile'],
            ports: [
              { name: 'dns', containerPort: port, protocol: 'UDP' },
              { name: 'dns-tcp', containerPort: port, protocol: 'TCP' },
              { name: 'metrics', containerPort: 9153, protocol: 'TCP' },
            ],
            readinessProbe: { ...probe('/ready', 8181), failureThreshold: 3 },
            livenessProbe: { ...probe('/health', 8080), initialDelaySeconds: 30, periodSeconds: 10, failureThreshold: 6 },
            resources: { requests: { cpu: '20m', memory: '32Mi' }, limits: { memory: '170Mi' } },
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
            volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
          },
        ],
        volumes: [{ name: 'config', configMap: { name } }],
      },
    },
  }
}
