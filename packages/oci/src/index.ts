export { Archive } from './archive/archive.ts'
export { type Base, baseFile, writeBase } from './archive/delta.ts'
export type { ArchiveEntry } from './archive/stream.ts'
export { minimumPartBytes, type WriteArchiveOptions, type WrittenArchive, writeArchive } from './archive/write.ts'
export { type Artifact, type ArtifactPart, pushArtifact, pushReferrer } from './artifact.ts'
export type { Administration } from './client/administration.ts'
export type { Credentials } from './client/authorizer.ts'
export { type CredentialOptions, findCertificates, findCredentials } from './client/credentials.ts'
export type { RateLimits } from './client/pace.ts'
export { Registry, type RegistryOptions } from './client/registry.ts'
export type { Repository } from './client/repository.ts'
export type { RetryPolicy } from './client/retry.ts'
export type { UploadMemory } from './client/transport.ts'
export { type CallOptions, type ContentSource, type ContentTarget, type PutBlobOptions, readBlob, readJson } from './content.ts'
export { type CopyOptions, type CopyResult, copy } from './copy.ts'
export { digestHex, digestOf, isDigest } from './digest.ts'
export { OciError, type OciErrorCode } from './errors.ts'
export { refName } from './layout/index-file.ts'
export { Layout } from './layout/layout.ts'
export { formatLocation, type Location, parseLocation } from './location.ts'
export {
  type Descriptor,
  isManifestType,
  type Manifest,
  maximumManifestBytes,
  mediaTypes,
  type Platform,
  parseManifest,
  referrerDescriptor,
} from './manifest.ts'
export { formatReference, isHost, isRepository, isTag, mirrorRepository, parseReference, type Reference } from './reference.ts'
export { readReferrers, referrersTag, writeReferrers } from './referrers.ts'
export { parseScope } from './server/access/scopes.ts'
export type { NewToken, TokenRecord } from './server/access/tokens.ts'
export type { RegistryUser } from './server/access/users.ts'
export type { Collected } from './server/collector.ts'
export type { RegistryLogger, RegistryServerOptions } from './server/options.ts'
export { isPattern as isRepositoryPattern } from './server/pattern.ts'
export type { MirrorEntry } from './server/replication/mirror-status.ts'
export type { RegistryServer } from './server/serve.ts'
export { serveRegistry } from './server/start.ts'
export type { AuditRecord } from './server/upkeep/audit.ts'
export type { QuotaUsage } from './server/upkeep/quotas.ts'
export type { Retained } from './server/upkeep/retention.ts'
export type { Need } from './server/upkeep/retention-plan.ts'
export type { Usage } from './server/upkeep/usage.ts'
