import path from 'node:path'
import type { Distribution } from '@muster/host'
import { buildImage, type ImageRecipeInput, loadRecipe, writeImageArchive } from '@muster/image'
import { type Descriptor, Layout, type Registry } from '@muster/oci'
import { publishImage } from '@muster/publish'
import type { SignatureKey } from '@muster/trust'
import { type Context, workLayout } from './context.ts'
import type { Say } from './steps.ts'

/** One of Muster's own images, built into the instance's layout. */
interface OwnImage {
  readonly name: string
  readonly descriptor: Descriptor
  /** `name@digest` */
  readonly reference: string
}

/** Muster's own images. */
export interface OwnImages {
  readonly layout: Layout
  readonly agent: OwnImage
  readonly hub: OwnImage
  readonly dns: OwnImage
  readonly pause: OwnImage
}

/** Builds the images that an instance itself runs: the agent and the hub from this checkout, DNS and the sandbox from the distribution. */
export async function buildOwnImages(context: Context, distribution: Distribution, say: Say): Promise<OwnImages> {
  const layout = await Layout.open(workLayout(context), { create: true })
  const build = async (recipe: ImageRecipeInput, baseDir: string): Promise<OwnImage> => {
    say(`image ${recipe.name}`)
    const { name, descriptor } = await buildImage(recipe, {
      target: layout,
      cacheDir: path.join(context.cache, 'images'),
      baseDir,
      env: context.environment,
      signal: context.signal,
      onProgress: say,
    })
    return { name, descriptor, reference: `${name}@${descriptor.digest}` }
  }
  const fromCheckout = async (app: string): Promise<OwnImage> => {
    const baseDir = path.join(context.checkout, 'apps', app)
    return build(await loadRecipe(path.join(baseDir, 'image.yaml')), baseDir)
  }
  const fromBinary = (name: string, version: string, file: string): Promise<OwnImage> =>
    build({ name: `muster.dev/${name}:${version}`, binary: { path: path.basename(file), to: `/${name}` } }, path.dirname(file))
  return {
    layout,
    pause: await fromBinary('pause', 'v1', distribution.pause),
    dns: await fromBinary('coredns', distribution.versions['coredns'] ?? 'v0', distribution.coredns),
    agent: await fromCheckout('agent'),
    hub: await fromCheckout('hub'),
  }
}

/** Writes the sandbox image to a file from which nodes load it: no pod's start depends on the registry for it. */
export async function writePauseArchive(context: Context, { layout, pause }: OwnImages): Promise<{ archive: string; image: string }> {
  const archive = path.join(context.state, 'pause.tar')
  await writeImageArchive(layout, pause.descriptor, { name: pause.name, file: archive, signal: context.signal })
  return { archive, image: pause.name }
}

/** Signs the images and puts them where nodes look for them. */
export async function publishOwnImages(
  context: Context,
  images: OwnImages,
  registry: Registry,
  signer: SignatureKey,
  say: Say,
): Promise<void> {
  for (const image of [images.dns, images.agent, images.hub]) {
    say(`publish ${image.name}`)
    await publishImage({ layout: images.layout, image: image.descriptor, name: image.name, registry, signer, signal: context.signal })
  }
}
