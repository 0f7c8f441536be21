import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { PublishedBundle } from '@muster/fleet'
import type { Instance } from './command.ts'

/** Publishes small bundles of one name, signed by the instance's own publisher. */
export class SmallBundles {
  readonly name: string
  readonly #instance: Instance
  readonly #dir: string

  private constructor(instance: Instance, name: string, dir: string) {
    this.#instance = instance
    this.name = name
    this.#dir = dir
  }

  static async open(instance: Instance, name: string): Promise<SmallBundles> {
    return new SmallBundles(instance, name, await mkdtemp(path.join(tmpdir(), `muster-${name}-`)))
  }

  /** Publishes the objects, given as YAML, under a version. */
  async publish(version: string, objects: string): Promise<PublishedBundle> {
    const dir = path.join(this.#dir, version)
    await mkdir(dir)
    await writeFile(
      path.join(dir, 'bundle.yaml'),
      `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: ${this.name}\nversion: ${version}\ncomponents:\n- name: main\n  manifests: [objects.yaml]\n`,
    )
    await writeFile(path.join(dir, 'objects.yaml'), objects)
    const printed = await this.#instance.succeed('publish', dir)
    const digest = printed.match(/sha256:[0-9a-f]{64}/)?.[0]
    if (digest === undefined) throw new Error(`publish named no digest: ${printed}`)
    return { repository: `bundles/${this.name}`, version, digest }
  }

  async close(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true })
  }
}
