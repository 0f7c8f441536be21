import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { ContentSource, Descriptor } from '@muster/oci'
import { BundleError } from './errors.ts'
import type { BundleChart, LeftOut } from './format.ts'
import { openChart, unpackChart } from './helm/chart.ts'
import { renderChart } from './helm/component.ts'
import { pullChart } from './helm/pull.ts'
import type { RenderHelm } from './helm/render.ts'
import { type LockedImage, readLock } from './imgpkg/lock.ts'
import { pullImgpkg } from './imgpkg/pull.ts'
import { type RenderKustomize, refuseRemote } from './kustomize.ts'
import { limits } from './limits.ts'
import { inOrder, type ManifestObject, parseManifests, readManifests } from './manifests.ts'
import type { FetchGoModule } from './module.ts'
import type { BundleSource, ComponentSource, HelmSource, ImgpkgSource } from './source.ts'

/** Finds what a registry has under a reference. Undefined: it is not there. */
export type FindArtifact = (
  reference: string,
  signal?: AbortSignal,
) => Promise<{ readonly source: ContentSource; readonly descriptor: Descriptor } | undefined>

export interface RenderOptions {
  readonly renderKustomize: RenderKustomize
  /** Needed by a bundle.yaml with charts. */
  readonly renderHelm?: RenderHelm | undefined
  /** Needed by a bundle.yaml that names charts, imgpkg bundles or other bundles by reference. */
  readonly findArtifact?: FindArtifact | undefined
  /** Needed by a bundle.yaml that names a Go module. */
  readonly fetchGoModule?: FetchGoModule | undefined
  readonly signal?: AbortSignal | undefined
}

/** A component's objects in the order of the bundle, and what is to be said of them. */
export interface RenderedComponent {
  readonly name: string
  readonly objects: readonly ManifestObject[]
  readonly chart?: BundleChart
  readonly leftOut?: readonly LeftOut[]
  /** Of an imgpkg bundle: its images, and where it came from, which may have them too. */
  readonly locked?: { readonly images: readonly LockedImage[]; readonly from?: string; readonly file: string }
}

/** Where a component's paths begin, and what they must stay in. */
interface Place {
  readonly base: string
  readonly root: string | undefined
  /** A folder for this component alone, gone at the end. */
  readonly workDir: string
}

/** @throws BundleError, OciError */
export async function renderComponents(source: BundleSource, options: RenderOptions): Promise<RenderedComponent[]> {
  const base = source.module === undefined ? source.dir : await moduleFolder(source, options)
  const root = source.module === undefined ? undefined : base
  const work = await mkdtemp(join(tmpdir(), 'muster-render-'))
  try {
    const components: RenderedComponent[] = []
    for (const component of source.components) {
      options.signal?.throwIfAborted()
      const workDir = join(work, component.name)
      await mkdir(workDir)
      const rendered = await renderComponent(component, { base, root, workDir }, options)
      if (rendered.objects.length === 0)
        throw new BundleError('ManifestInvalid', `The component ${component.name} of ${source.file} holds no object.`)
      components.push(rendered)
    }
    return components
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function renderComponent(component: ComponentSource, place: Place, options: RenderOptions): Promise<RenderedComponent> {
  const { name } = component
  if ('helm' in component) return renderHelm(name, component.helm, place, options)
  if ('imgpkg' in component) return readImgpkg(name, component.imgpkg, place, options)
  if ('manifests' in component) {
    const files = component.manifests.map((path) => resolve(place.base, path))
    return { name, objects: inOrder(await readManifests(files, place.base)) }
  }
  const dir = resolve(place.base, component.kustomize)
  await refuseRemote(dir, place.root)
  const rendered = await options.renderKustomize(dir, options.signal)
  return { name, objects: inOrder(parseManifests(rendered, `${component.kustomize} (rendered)`)) }
}

async function renderHelm(name: string, helm: HelmSource, { base, workDir }: Place, options: RenderOptions): Promise<RenderedComponent> {
  const { renderHelm: render, signal } = options
  if (render === undefined)
    throw new BundleError('HelmFailed', `The component ${name} is a Helm chart, and charts cannot be rendered here.`)
  const unpacked = join(workDir, 'chart')
  await mkdir(unpacked)
  const chart =
    helm.chart === undefined
      ? await unpackChart(await chartOf(helm.reference ?? '', options), unpacked, helm.reference ?? '')
      : await openChart(resolve(base, helm.chart), unpacked, helm.chart)
  const valuesFiles: string[] = []
  for (const file of helm.valuesFiles) valuesFiles.push(await checkedValues(resolve(base, file), file))
  const { objects, leftOut, ...rest } = await renderChart({ component: name, helm, chart, valuesFiles, workDir, render, signal })
  return { name, objects, chart: rest.chart, leftOut }
}

async function checkedValues(file: string, name: string): Promise<string> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new BundleError('SourceInvalid', `The values file ${name} is not there.`, { cause })
  })
  if (!found.isFile()) throw new BundleError('SourceInvalid', `The values file ${name} is no file.`)
  if (found.size > limits.chartFileBytes)
    throw new BundleError('TooLarge', `The values file ${name} has more than ${limits.chartFileBytes} bytes.`)
  return file
}

async function chartOf(reference: string, options: RenderOptions): Promise<Uint8Array> {
  const { source, descriptor } = await artifactOf(reference, 'chart', options)
  return pullChart(source, descriptor, reference, options.signal)
}

/** @throws BundleError `SourceInvalid` where it is not there */
export async function artifactOf(
  reference: string,
  what: string,
  { findArtifact, signal }: Pick<RenderOptions, 'findArtifact' | 'signal'>,
): Promise<{ readonly source: ContentSource; readonly descriptor: Descriptor }> {
  if (findArtifact === undefined)
    throw new BundleError('SourceInvalid', `The ${what} ${reference} is in a registry, and registries cannot be asked here.`)
  const found = await findArtifact(reference, signal)
  if (found === undefined)
    throw new BundleError('SourceInvalid', `The ${what} ${reference} is not there. Check its name, or push it first.`)
  return found
}

async function readImgpkg(
  name: string,
  imgpkg: ImgpkgSource,
  { base, workDir }: Place,
  options: RenderOptions,
): Promise<RenderedComponent> {
  const what = imgpkg.dir ?? imgpkg.reference ?? ''
  let dir = resolve(base, imgpkg.dir ?? '.')
  if (imgpkg.reference !== undefined) {
    const { source, descriptor } = await artifactOf(imgpkg.reference, 'imgpkg bundle', options)
    dir = join(workDir, 'bundle')
    await mkdir(dir)
    await pullImgpkg(source, descriptor, dir, what, options.signal)
  }
  const images = await readLock(dir, what)
  // Its own folder, .imgpkg, is hidden and so left out.
  const objects = await readManifests(
    (imgpkg.manifests ?? ['.']).map((path) => resolve(dir, path)),
    dir,
  )
  const from = imgpkg.reference === undefined ? {} : { from: imgpkg.reference }
  return { name, objects: inOrder(objects), locked: { images, file: `${what}/.imgpkg/images.yml`, ...from } }
}

async function moduleFolder(source: BundleSource, { fetchGoModule, signal }: RenderOptions): Promise<string> {
  const { module } = source
  if (module === undefined || fetchGoModule === undefined) {
    throw new BundleError('ModuleUnavailable', `${source.file} takes its manifests from a Go module, and modules cannot be fetched here.`)
  }
  const { dir, sum } = await fetchGoModule(module.goModule, signal)
  if (module.sum !== undefined && module.sum !== sum) {
    throw new BundleError(
      'ModuleUnavailable',
      `${module.goModule} has the checksum ${sum}, and ${source.file} pins ${module.sum}. Do not use it before you know why.`,
    )
  }
  return dir
}
