import { isDigest } from '../../digest.ts'
import { parseRoute } from '../route.ts'
import type { Visit } from '../visit.ts'
import type { AuditRecord } from './audit.ts'

type Entry = Pick<AuditRecord, 'action' | 'repository' | 'reference' | 'digest'>

/** What the audit says of an answered request; undefined for what changes nothing: reading, and the steps of an upload before its last. */
export function auditOf(visit: Visit, path: string): Entry | undefined {
  const { method, response, query } = visit
  if (method === 'GET' || method === 'HEAD') return undefined
  const refused = response.statusCode >= 400
  // What was done there is recorded where it is done, with what it was.
  if (path.startsWith('/_muster/v1/')) return refused ? { action: `${method} ${path.slice(0, 200)}` } : undefined
  const route = routeOf(path)
  if (route === undefined || !('repository' in route)) return undefined
  const { repository } = route
  const stored = response.getHeader('docker-content-digest')
  const digest = typeof stored === 'string' ? { digest: stored } : {}
  switch (route.kind) {
    case 'manifest': {
      const { reference } = route
      const removed = method === 'DELETE' && isDigest(reference) ? { digest: reference } : digest
      return { action: method === 'DELETE' ? 'delete manifest' : 'put manifest', repository, reference, ...removed }
    }
    case 'blob':
      return { action: 'delete blob', repository, digest: route.digest }
    case 'uploads':
    case 'upload':
      if (response.statusCode !== 201 && !refused) return undefined
      return { action: query.has('mount') ? 'mount blob' : 'put blob', repository, ...digest }
    default:
      return undefined
  }
}

function routeOf(path: string): ReturnType<typeof parseRoute> {
  try {
    return parseRoute(path)
  } catch {
    // A malformed name changed nothing.
    return undefined
  }
}
