export { type Backoff, backoffDelay, connectionBackoff, itemBackoff } from './backoff.ts'
export type {
  ApplyOptions,
  CallOptions,
  ClientOptions,
  DeleteOptions,
  ListOptions,
  ListResult,
  PatchOptions,
  RawOptions,
  WatchOptions,
  WriteOptions,
} from './call-options.ts'
export { KubeClient } from './client.ts'
export { type Clock, pause, systemClock } from './clock.ts'
export { type Condition, type ConditionInput, findCondition, isConditionTrue, removeCondition, setCondition } from './conditions.ts'
export type { ClientConfig, ExecConfig, Impersonation, PemSource, UserConfig } from './config.ts'
export {
  Controller,
  type ControllerOptions,
  type ControllerStats,
  type MapEvent,
  type Reconcile,
  type ReconcileResult,
} from './controller.ts'
export type { Resource } from './discovery.ts'
export { isKubeError, KubeError, type KubeErrorCode, type KubeErrorOptions, type StatusCause, type StatusDetails } from './error.ts'
export { type EventInput, EventRecorder, type EventRecorderOptions } from './event-recorder.ts'
export { type InClusterOptions, inClusterConfig } from './in-cluster.ts'
export { Informer, type InformerClient, type InformerOptions } from './informer.ts'
export { type KubeconfigOptions, loadKubeconfig, parseKubeconfig } from './kubeconfig.ts'
export { LeaderElector, type LeaderElectorOptions } from './leader-election.ts'
export { type AddOptions, type Leadership, Manager, type ManagerOptions, type Runnable, type Stage } from './manager.ts'
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
export type { InformerEvent } from './store.ts'
export { TerminalError } from './terminal-error.ts'
export type { View } from './view.ts'
export type { WatchEvent } from './watch-stream.ts'
export { type Priority, WorkQueue, type WorkQueueOptions } from './work-queue.ts'
