import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Descriptor, Layout, readBlob, readJson } from '@muster/oci'
import { afterAll, beforeAll, expect } from 'vitest'
import { type BuiltImage, buildImage } from '../build.ts'
import type { ImageRecipeInput } from '../recipe.ts'

/** A folder of the test file's own, in which all is written and built. */
export let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-image-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

export const name = 'registry.example/test/app:1.0'

/** Writes files by their paths into a folder in `dir`, and gives that. */
export async function write(root: string, files: Record<string, string>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, root, path)), { recursive: true })
    await writeFile(join(dir, root, path), text)
  }
  return join(dir, root)
}
interface Config {
  readonly config: { readonly User: string; readonly Env: string[]; readonly Entrypoint: string[]; readonly WorkingDir: string }
  readonly rootfs: { readonly diff_ids: string[] }
  readonly history: unknown[]
  readonly created: string
}

/** An image that was built, in a layout that has nothing else. */
export class Built {
  readonly image: BuiltImage
  readonly #layout: Layout
  constructor(image: BuiltImage, layout: Layout) {
    this.image = image
    this.#layout = layout
  }

  async manifest(): Promise<{ config: Descriptor; layers: Descriptor[] }> {
    const descriptor = await this.#layout.resolve(name)
    expect(descriptor?.digest).toBe(this.image.descriptor.digest)
    return JSON.parse(new TextDecoder().decode((await this.#layout.manifest(this.image.descriptor.digest)).bytes))
  }

  async config(): Promise<Config> {
    return (await readJson(this.#layout, (await this.manifest()).config, { limit: 1 << 20 })) as Config
  }

  /** Unpacks the layers with the system's tar, as a container engine would. */
  async unpack(): Promise<string> {
    const rootfs = await mkdtemp(join(dir, 'rootfs-'))
    await chmod(rootfs, 0o755)
    for (const layer of (await this.manifest()).layers) {
      const bytes = await readBlob(this.#layout, layer, { limit: 200 << 20 })
      execFileSync('tar', ['--extract', '--gzip', '--preserve-permissions', '--numeric-owner', '--directory', rootfs], { input: bytes })
    }
    return rootfs
  }
}

let count = 0
/** Builds from nothing unless a cache is given. */
export async function build(
  recipe: ImageRecipeInput,
  baseDir: string,
  cacheDir = join(dir, `cache-${count++}`),
  env = process.env,
): Promise<Built> {
  const layout = await Layout.open(join(dir, `layout-${count++}`), { create: true })
  return new Built(await buildImage(recipe, { target: layout, cacheDir, baseDir, name, env }), layout)
}

/** Runs the image's own command as its own user, in nothing but its files. */
export async function run(built: Built, rootfs: string, ...args: string[]): Promise<string> {
  const { config } = await built.config()
  const [uid = '', gid = ''] = config.User.split(':')
  const command = [...config.Entrypoint, ...args]
  return execFileSync('chroot', [`--userspec=${uid}:${gid}`, rootfs, ...command], {
    encoding: 'utf8',
    env: Object.fromEntries(
      config.Env.map((variable) => [variable.slice(0, variable.indexOf('=')), variable.slice(variable.indexOf('=') + 1)]),
    ),
  })
}
