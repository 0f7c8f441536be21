export {
  type Cluster,
  type ClusterReport,
  clusterKind,
  clusterReasons,
  clusterReportSchema,
  type NodeReport,
  type ReleaseReport,
} from './cluster.ts'
export { customResourceDefinition, structuralSchema } from './crd.ts'
export { apiVersion, type Condition, conditionSchema, digestSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
export { type Placement, placementKind, placementReasons } from './placement.ts'
export { type InventoryEntry, type Release, type ReleaseReason, releaseKind, releaseReasons } from './release.ts'
