import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion } from '@muster/api'
import { checkout, type Instance } from './command.ts'

/** What a test says of a bundle and of where it is placed, written to files as a user would, and given to the command line. */
export class Written {
  readonly folder: string
  readonly #instance: Instance

  private constructor(instance: Instance, folder: string) {
    this.#instance = instance
    this.folder = folder
  }

  static async open(instance: Instance): Promise<Written> {
    return new Written(instance, await mkdtemp(path.join(tmpdir(), 'muster-written-')))
  }

  async file(name: string, content: unknown): Promise<string> {
    const file = path.join(this.folder, name)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
    return file
  }

  /** Publishes a bundle of these objects; where one runs example.test/greeter, that is built from the example. */
  async publish(name: string, version: string, objects: readonly object[], offers: object = {}): Promise<void> {
    const folder = path.join(this.folder, `${name}-${version}`)
    const text = objects.map((object) => JSON.stringify(object)).join('\n---\n')
    const greeter = { match: '*/greeter', build: path.relative(folder, path.join(checkout, 'examples/greeter/image.yaml')) }
    const source = {
      apiVersion,
      kind: 'BundleSource',
      name,
      version,
      components: [{ name: 'main', manifests: ['objects.yaml'] }],
      images: text.includes('example.test/greeter:') ? [greeter] : [],
      ...offers,
    }
    await this.file(`${name}-${version}/objects.yaml`, text)
    await this.file(`${name}-${version}/bundle.yaml`, source)
    await this.#instance.succeed('publish', folder)
  }

  /** A file with a Placement, for `muster place -f`. */
  async placement(name: string, spec: object): Promise<string> {
    return this.file(`${name}.yaml`, { apiVersion, kind: 'Placement', metadata: { name }, spec })
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}
