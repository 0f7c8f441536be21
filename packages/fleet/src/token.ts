import { createHash, randomBytes } from 'node:crypto'
import type { KubeObject } from '@muster/kube'
import { systemNamespace } from './names.ts'

const minutesOfValidity = 30

/** A one-time token with which an agent joins under one name, and the Secret by which the hub knows it. */
export interface JoinToken {
  /** Given to the agent: the cluster's name, a dot, and 32 random bytes in base64url. The hub keeps only its hash. */
  readonly token: string
  readonly secret: KubeObject
}

/** Makes the token for `cluster`. A newer one for the same name takes the place of the older. */
export function createJoinToken(cluster: string, now: Date): JoinToken {
  const token = `${cluster}.${randomBytes(32).toString('base64url')}`
  return {
    token,
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `join-${cluster}`, namespace: systemNamespace, labels: { 'muster.dev/join': 'true' } },
      type: 'Opaque',
      stringData: {
        'token-sha256': createHash('sha256').update(token).digest('hex'),
        'expires-at': new Date(now.getTime() + minutesOfValidity * 60_000).toISOString(),
      },
    },
  }
}
