export {
  type BreakGlassCheck,
  maxBreakGlassMs,
  readBreakGlass,
  signBreakGlass,
  verifyBreakGlass,
} from './break-glass/break-glass.ts'
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
export { type RefusalReason, TrustError, type TrustErrorCode } from './errors.ts'
export {
  type Curve,
  curves,
  generatePrivateKey,
  isPrivateKey,
  type KeyFormat,
  type PrivateKeyFile,
  publicPem,
  readPrivateKeyFile,
  writePrivateKey,
} from './keys/key-file.ts'
export { generateKeyPair, type KeyPair, keyHint, keyId, kindOf, publicKeyOf, readPublicKey } from './keys/keys.ts'
export { signatureKeyFromPem } from './keys/memory-key.ts'
export { type OpenKeyOptions, openSignatureKey, readKeyText, readSecretFile, withCertificates } from './keys/open-key.ts'
export type { SignatureKey } from './keys/signature-key.ts'
export { type EffectivePolicy, mergePolicies, type PolicyLevel, type PolicySource, policyLevels } from './policy/compile.ts'
export {
  type Accepted,
  type DemandVerdict,
  type EvaluateOptions,
  type Evidence,
  evaluate,
  type Subject,
  type SubjectVerdict,
} from './policy/evaluate.ts'
export { readEvidence } from './policy/evidence.ts'
export { byGravity, type Refusal, refusalOf } from './policy/reasons.ts'
export { levelOf, readPolicy } from './policy/source.ts'
export { readTree, type TreeKind, type TreeNode, type TreeStatement } from './signature/artifact-tree.ts'
export { type AttachOptions, attach } from './signature/attach.ts'
export { parseBounded } from './signature/bounded-json.ts'
export { sigstoreBundleMediaType, sigstoreBundleMediaTypes } from './signature/bundle-reader.ts'
export { attachCosignAttestation, attachCosignSignature, type CosignSignatureOptions } from './signature/cosign-writer.ts'
export { isSignedBy, type SignatureClaims, type SignedEnvelope, type SigningMaterial } from './signature/envelope.ts'
export { demandPredicate, predicateNameOf, predicateNames, predicateTypeFor } from './signature/predicates.ts'
export { cosignTag, type Envelopes, type EnvelopesOptions, maxSignatures, readEnvelopes } from './signature/read-envelopes.ts'
export {
  maxSignatureBytes,
  type Publisher,
  type SignOptions,
  type SigstoreBundleJson,
  signStatement,
  verifySigstoreBundle,
} from './signature/sigstore-bundle.ts'
export { maxStatementBytes, signPredicateType } from './signature/statement.ts'
export { type VerifyOptions, verifyArtifact } from './signature/verify.ts'
export type { Authority, IdentityRule, KeyAuthority, SigstoreAuthority, VerifiedIdentity, X509Authority } from './sigstore/authority.ts'
export {
  type KeylessOptions,
  logSignature,
  openKeylessKey,
  readSigningConfig,
  type SigningServices,
  type TimestampOptions,
  timestamp,
} from './sigstore/making.ts'
export { compilePattern } from './sigstore/pattern.ts'
export type { LoggedBundle, LogOptions } from './sigstore/transparency.ts'
export { type BlobArtifact, type VerifiedBlob, type VerifyBlobOptions, verifyBlob } from './sigstore/verify-blob.ts'
export { verifyEnvelope } from './sigstore/verify-envelope.ts'
