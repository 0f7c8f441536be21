import type { NodeReport } from '@muster/api'
import type { KubeObject } from '@muster/kube'

/** What the hub is told of a node. */
export function nodeReport(node: KubeObject): NodeReport {
  const status = (node['status'] ?? {}) as { conditions?: unknown; nodeInfo?: { kubeletVersion?: unknown } }
  const conditions: unknown[] = Array.isArray(status.conditions) ? status.conditions : []
  const ready = conditions.some((condition) => {
    const { type, status: state } = (condition ?? {}) as { type?: unknown; status?: unknown }
    return type === 'Ready' && state === 'True'
  })
  const version = status.nodeInfo?.kubeletVersion
  return { name: node.metadata.name, ready, version: typeof version === 'string' ? version : '' }
}
