/** What every pod of Muster's own has in common: no root, no privilege, nothing writable but what is mounted. */
export const podDefaults = {
  terminationGracePeriodSeconds: 30,
  enableServiceLinks: false,
  securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
}

export const confined = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}
