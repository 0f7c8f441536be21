/** Namespace into which all bundles go. */
export const target = 'bench'

/** What one bundle brings: the four objects of Flux's own benchmark, with a Deployment of no pods. */
export function fourObjects(name: string): object[] {
  const labels = { app: name }
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: {
        type: 'ClusterIP',
        clusterIP: 'None',
        selector: labels,
        ports: [{ name: 'http', port: 9898, protocol: 'TCP', targetPort: 'http' }],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: name,
            containers: [
              {
                name: 'app',
                image: 'registry.example/app:1.0.0',
                ports: [{ name: 'http', containerPort: 9898, protocol: 'TCP' }],
                readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
                resources: { requests: { cpu: '100m', memory: '64Mi' } },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name },
      spec: {
        rules: [
          {
            host: `${name}.example`,
            http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name, port: { name: 'http' } } } }] },
          },
        ],
      },
    },
  ]
}

/** One bundle of many objects; `value` is what the first of them says. */
export function manyObjects(count: number, value: string): object[] {
  return Array.from({ length: count }, (_, at) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `settings-${at}` },
    data: { value: at === 0 ? value : 'as signed' },
  }))
}

export function documents(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join('\n---\n')
}
