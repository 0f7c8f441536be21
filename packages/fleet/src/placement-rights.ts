import type { KubeObject } from '@muster/kube'

/**
 * Who may write which placement, in the hub's API server: for a tenant's, who has the verb `use` on that tenant; for one of no tenant,
 * which acts with all rights in its clusters, who has it on all tenants. What a placement was before counts as much as what it becomes.
 * @param name of the policy; `only`: labels of the placements that it is for, all of them by default
 */
export function placementRights(name = 'muster-placement-rights', only?: Readonly<Record<string, string>>): KubeObject[] {
  const tenantOf = (object: string) => `${object} == null || !has(${object}.spec.tenant) ? '' : ${object}.spec.tenant`
  const mayUse = (object: string) =>
    `${object} == null || (variables.${object} == '' ? variables.tenants.check('use').allowed() : variables.tenants.name(variables.${object}).check('use').allowed())`
  const message = (object: string) =>
    `variables.${object} == '' ? 'A placement without a tenant acts with all rights in its clusters. Only who has the verb use on all tenants (muster.dev) may write it: name your tenant in spec.tenant.' : 'A placement of tenant ' + variables.${object} + ' may be written by who has the verb use on that tenant (muster.dev), and by nobody else.'`
  const admission = 'admissionregistration.k8s.io/v1'
  return [
    {
      apiVersion: admission,
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            { apiGroups: ['muster.dev'], apiVersions: ['*'], resources: ['placements'], operations: ['CREATE', 'UPDATE', 'DELETE'] },
          ],
          ...(only === undefined ? {} : { objectSelector: { matchLabels: only } }),
        },
        variables: [
          { name: 'tenants', expression: "authorizer.group('muster.dev').resource('tenants')" },
          { name: 'object', expression: tenantOf('object') },
          { name: 'oldObject', expression: tenantOf('oldObject') },
        ],
        validations: ['oldObject', 'object'].map((object) => ({
          expression: mayUse(object),
          messageExpression: message(object),
          reason: 'Forbidden',
        })),
      },
    },
    {
      apiVersion: admission,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ]
}
