export { activeGrants, covers, nextEnd, notGranted, tenantLabel } from './coverage.ts'
export { definedTypes, discoveryAccept, type ResourceType, readResourceTypes } from './resource-types.ts'
export { accountOf, namespacesOf, tenantNamespace, tenantRights, userOf } from './rights.ts'
