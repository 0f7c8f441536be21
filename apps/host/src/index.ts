export type { BinarySource } from './build/binaries.ts'
export { BuildError, type BuildErrorCode } from './build/build-error.ts'
export { type Distribution, type DistributionProgress, prepareDistribution } from './build/distribution.ts'
export { gatherFacts } from './build/host-facts.ts'
export { type InstallPlan, installPackages, planInstall } from './build/install-packages.ts'
export { evaluateRequirements, type HostFacts, type Requirement, unmet } from './build/requirements.ts'
export { cleanInstance } from './clean.ts'
export { ensureDaemon, HostClient, type InstanceOptions, purgeState, takeDown } from './client.ts'
export type { ClusterStatus } from './cluster.ts'
export { HostError, type HostErrorCode } from './errors.ts'
export type { HostPhase, HostStatus } from './host.ts'
export { checkClusterName, checkInstanceId, hubNodePort } from './instance.ts'
export type { PauseImage } from './node.ts'
export type { NodeImage } from './node-image.ts'
export type { ComponentState, ComponentStatus } from './process.ts'
export { type RegistryAccess, settingsFile } from './registry.ts'
export {
  parseRegistrySettings,
  parseRetentionPolicy,
  type RegistrySettings,
  type RetentionPolicy,
  registryOptions,
} from './registry-settings.ts'
export type { HostConfig, HostConfigInput } from './state.ts'
