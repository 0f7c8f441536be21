import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { asRefusal } from './as-refusal.ts'

/** Services to sign with: what a signing config (sigstore_trustroot.proto, v0.2) names for now. */
export interface SigningServices {
  readonly fulcioUrl?: string | undefined
  readonly rekor?: { readonly url: string; readonly version: 1 | 2 } | undefined
  readonly timestampUrl?: string | undefined
}

const service = z.object({
  url: z.string().max(2048),
  majorApiVersion: z.int().optional(),
  validFor: z.object({ start: z.iso.datetime({ offset: true }).optional(), end: z.iso.datetime({ offset: true }).optional() }).optional(),
})
const services = z.array(service).max(64).default([])
const configSchema = z.object({
  mediaType: z.literal('application/vnd.dev.sigstore.signingconfig.v0.2+json'),
  caUrls: services,
  rekorTlogUrls: services,
  tsaUrls: services,
})

/**
 * The newest services that a signing config names as in use at `now`, one of each kind.
 * @throws TrustError `AuthorityInvalid`
 */
export function readSigningConfig(json: unknown, now: Date): SigningServices {
  const config = asRefusal(
    'AuthorityInvalid',
    'The signing config is not readable. Give one of v0.2, as "cosign signing-config create" writes it.',
    () => configSchema.parse(json),
  )
  const ca = newest(config.caUrls, [1], now)
  const log = newest(config.rekorTlogUrls, [1, 2], now)
  const tsa = newest(config.tsaUrls, [1], now)
  if (config.caUrls.length > 0 && !ca) throw new TrustError('AuthorityInvalid', 'The signing config names no Fulcio that is in use now.')
  return {
    ...(ca ? { fulcioUrl: ca.url } : {}),
    ...(log ? { rekor: { url: log.url, version: log.majorApiVersion === 2 ? 2 : 1 } } : {}),
    ...(tsa ? { timestampUrl: tsa.url } : {}),
  }
}

function newest(list: z.infer<typeof services>, versions: readonly number[], now: Date): z.infer<typeof service> | undefined {
  const version = (one: z.infer<typeof service>): number => one.majorApiVersion ?? 1
  const start = (one: z.infer<typeof service>): number => new Date(one.validFor?.start ?? 0).getTime()
  return list
    .filter((one) => versions.includes(version(one)) && start(one) <= now.getTime() && now <= new Date(one.validFor?.end ?? 8.64e15))
    .toSorted((a, b) => version(b) - version(a) || start(b) - start(a))[0]
}
