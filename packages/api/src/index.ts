export {
  type BreakGlass,
  type BreakGlassReason,
  type BreakGlassRecord,
  type BreakGlassStatement,
  breakGlassKind,
  breakGlassReasons,
  breakGlassStatementSchema,
  maxBreakGlassSignatures,
} from './break-glass.ts'
export {
  type Cluster,
  type ClusterReport,
  type ClusterSealing,
  clusterKind,
  clusterReasons,
  clusterReportSchema,
  type DependencyState,
  type Heartbeat,
  heartbeatSchema,
  type NodeReport,
  type ReleaseReport,
  type ReportAnswer,
  reportAnswerSchema,
} from './cluster.ts'
export { customResourceDefinition, structuralSchema } from './crd.ts'
export { customizationsFor } from './customizations.ts'
export { cycleFrom, cycleOf, type DependencyFleet, dependenciesOf, dependencyCycle, type ReleaseAt } from './dependencies.ts'
export { type EnclavePolicy, enclavePolicyKind, enclavePolicySpecSchema } from './enclave-policy.ts'
export { apiVersion, type Condition, conditionSchema, digestSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
export { maxRolledBack, type Placement, placementKind, placementReasons, writtenPlacementSchema } from './placement.ts'
export {
  type InventoryEntry,
  type LeftToOthers,
  maxLeftToOthers,
  type Release,
  type ReleaseReason,
  releaseKind,
  releaseReasons,
  type WaitingFor,
} from './release.ts'
export type { HookRecord } from './release-hooks.ts'
export { type GoodVersion, maxShapeLength, type Rollback } from './release-rollback.ts'
export {
  type ChosenCustomization,
  type Customization,
  type CustomizationLevel,
  customizationLevels,
  type Dependency,
  type DriftMode,
  environmentLabel,
  type Grant,
  grantSchema,
  groupLabel,
  type OverlaySpec,
  type OverlayTarget,
  overlaySchema,
  overlayTargetSchema,
  type ReleaseSettings,
  type ReleaseTenant,
  releaseSettingsSchema,
} from './release-settings.ts'
export {
  type HistoryCause,
  maxHistory,
  maxNeedsConsent,
  type PlacementHistoryEntry,
  type ReleaseHistoryEntry,
  type ReleaseSite,
} from './release-site.ts'
export { means, type Selectable, selects } from './select.ts'
export {
  type CustomizationReport,
  type SiteOverlay,
  siteOverlayKind,
} from './site-overlay.ts'
export { isReservedNamespace, type Tenant, type TenantGrant, tenantKind, tenantReasons } from './tenant.ts'
export {
  type AuthoritySpec,
  type IdentityRuleSpec,
  type TrustPolicy,
  type TrustRule,
  type TrustRules,
  trustPolicyKind,
  trustPolicyReasons,
  trustPolicySpecSchema,
  trustRulesSchema,
} from './trust-policy.ts'
