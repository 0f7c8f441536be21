export { type AttachOptions, attachSignature } from './attach.ts'
export {
  addChannelSignatures,
  maxChannelBytes,
  readChannelContent,
  signChannel,
  type VerifiedChannel,
  type VerifyChannelOptions,
  verifyChannel,
} from './channel.ts'
export type { ChannelContent, ChannelRelease } from './channel-content.ts'
export { channelArtifactType, type FetchedChannel, fetchChannel, pushChannel } from './channel-store.ts'
export { TrustError, type TrustErrorCode } from './errors.ts'
export { generateKeyPair, type KeyPair, keyHint, keyId, publicKeyOf, readPublicKey } from './keys.ts'
export { decidePrune, type InstalledRelease, type PruneDecision } from './prune.ts'
export { type CreateRootOptions, createRoot, type RootKey, signRoot } from './root.ts'
export {
  maxSignatureBytes,
  type Publisher,
  type SignOptions,
  type SigstoreBundleJson,
  signDigest,
  sigstoreBundleMediaType,
  verifySigstoreBundle,
} from './sigstore-bundle.ts'
export { maxSignatures, type VerifyOptions, verifyArtifact } from './verify.ts'
