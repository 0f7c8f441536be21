export type { Moved, Store } from './carry.ts'
export { RelocateError, type RelocateErrorCode } from './errors.ts'
export { type Inventory, type InventoryOptions, type Item, takeInventory } from './inventory.ts'
export { bundleArtifactType, type Counts, formatCounts, type Kind } from './kinds.ts'
export {
  type Packed,
  type PackedTarget,
  type Relocated,
  type RelocateOptions,
  relocate,
  relocateToArchive,
  type SourceArtifact,
  type TargetStore,
} from './relocate.ts'
export { type Since, sinceArchive, sinceArtifact } from './since.ts'
export { uploadMemory } from './upload-memory.ts'
