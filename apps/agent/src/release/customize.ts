import { releaseReasons } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import type { Layer } from '@muster/overlay'
import { SealError } from '@muster/seal'
import { BundleRefusal, type LoadedBundle } from '../bundle-loader.ts'
import { vouchedFor } from '../image-verdict.ts'
import { inForce, type SiteLayer } from '../site-overlays.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'

/** What a verified bundle is in this cluster: parameters and overlays over it. What they bring is verified like what the bundle brings. */
export async function customized(
  services: ReleaseServices,
  context: ReleaseContext,
  bundle: LoadedBundle,
  runs: boolean,
): Promise<LoadedBundle> {
  const { runtime, entry, signal } = context
  const { parameters, config } = bundle.read
  const { customize: said = [], sealed = {} } = entry.settings ?? {}
  const { site = [] } = context
  if (parameters.length === 0 && said.length + site.length === 0 && Object.keys(sealed).length === 0) return bundle
  // Most clusters need none of it: it takes no memory before.
  const { customize, siteBounds } = await import('@muster/overlay')
  // In order of precedence: those of the channel, then the site's own, which are bounded.
  const layers: (Layer & { site?: SiteLayer['site'] })[] = [
    ...said,
    ...site.map((layer) => ({ ...layer, within: siteBounds(bundle.read, layer.policies) })),
  ]
  const { objects, problems, namespace } = customize(bundle.read.objects, {
    parameters,
    layers,
    sealed: await unsealed(services, context, bundle, sealed),
    namespace: entry.namespace ?? entry.name,
    imageFields: config.imageFields,
  })
  if (problems.length > 0) throw invalid(problems.map(({ message }) => runtime.discreet(message)))
  const own = new Set(bundle.read.images.map(({ descriptor }) => descriptor.digest))
  const made = objects.map(({ object }) => object)
  await vouchedFor(made, own, bundle.read, { ...services, content: context.content, runs, signal })
  return { ...bundle, objects: made as readonly KubeObject[], namespace, customizations: inForce(layers) }
}

/** In memory only. What is no text by its parameter's schema is JSON. @throws BundleRefusal */
async function unsealed(
  { unseal }: ReleaseServices,
  { runtime, entry, signal }: ReleaseContext,
  { read: { parameters } }: LoadedBundle,
  sealed: Readonly<Record<string, string>>,
): Promise<Record<string, unknown>> {
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(sealed)) {
    try {
      const text = await unseal(value, entry.name, name, signal)
      const { type = 'string' } = parameters.find((one) => one.name === name)?.schema ?? {}
      values[name] = type === 'string' ? text : asJson(text)
      runtime.keepSecret([text, ...leavesOf(values[name])])
    } catch (error) {
      if (error instanceof SealError) throw invalid([error.message], error)
      throw error
    }
  }
  return values
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Texts and numbers inside a value, which may stand by themselves in what comes of it. */
function leavesOf(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(leavesOf)
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : []
}

const maxTold = 5

function invalid(messages: readonly string[], cause?: unknown): BundleRefusal {
  const told = messages.slice(0, maxTold).join(' ')
  const more = messages.length > maxTold ? ` And ${messages.length - maxTold} more.` : ''
  return new BundleRefusal(releaseReasons.customizationInvalid, `${told}${more}`.slice(0, 3500), false, cause)
}
