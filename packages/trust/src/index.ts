export {
  addChannelSignatures,
  maxChannelBytes,
  readChannelContent,
  signChannel,
  type VerifiedChannel,
  type VerifyChannelOptions,
  verifyChannel,
} from './channel/channel.ts'
export type { ChannelContent, ChannelRelease } from './channel/channel-content.ts'
export { channelArtifactType, type FetchedChannel, fetchChannel, pushChannel } from './channel/channel-store.ts'
export { decidePrune, type InstalledRelease, type PruneDecision } from './channel/prune.ts'
export { type CreateRootOptions, createRoot, type RootKey, signRoot } from './channel/root.ts'
export { TrustError, type TrustErrorCode } from './errors.ts'
export { generateKeyPair, type KeyPair, keyHint, keyId, publicKeyOf, readPublicKey } from './keys/keys.ts'
export { type AttachOptions, attachSignature } from './signature/attach.ts'
export {
  maxSignatureBytes,
  type Publisher,
  type SignOptions,
  type SigstoreBundleJson,
  signDigest,
  sigstoreBundleMediaType,
  verifySigstoreBundle,
} from './signature/sigstore-bundle.ts'
export { maxSignatures, type VerifyOptions, verifyArtifact } from './signature/verify.ts'
