export {
  type ApplyOptions,
  type CallOptions,
  type ClientOptions,
  type DeleteOptions,
  KubeClient,
  type ListResult,
  type PatchOptions,
  type RawOptions,
  type WatchOptions,
  type WriteOptions,
} from './client.ts'
export { type Clock, pause, systemClock } from './clock.ts'
export type { ClientConfig, ExecConfig, Impersonation, PemSource, UserConfig } from './config.ts'
export type { Resource } from './discovery.ts'
export { isKubeError, KubeError, type KubeErrorCode, type KubeErrorOptions, type StatusCause, type StatusDetails } from './error.ts'
export { type InClusterOptions, inClusterConfig } from './in-cluster.ts'
export { type KubeconfigOptions, loadKubeconfig, parseKubeconfig } from './kubeconfig.ts'
export {
  describe,
  groupOf,
  type KubeObject,
  keyOf,
  type ManagedFieldsEntry,
  type ObjectMeta,
  type OwnerReference,
  parseKey,
  type Ref,
  refOf,
  type Selection,
  type TypedObject,
} from './object.ts'
export type { WatchEvent } from './watch-stream.ts'
