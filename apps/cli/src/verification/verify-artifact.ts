import { BundleError, bundleTypes, readBundle } from '@muster/bundle'
import { type ContentSource, type Descriptor, OciError, parseManifest } from '@muster/oci'
import {
  type EffectivePolicy,
  type Evidence,
  evaluate,
  type Refusal,
  readEvidence,
  refusalOf,
  type Subject,
  type SubjectVerdict,
} from '@muster/trust'
import { UsageError } from '../errors.ts'
import { atOnce } from './at-once.ts'
import { imageName, type Place } from './places.ts'

/** What was found of one artifact that was named: itself first, then what it holds. */
export interface ArtifactVerdict {
  readonly reference: string
  readonly digest?: string
  readonly accepted: boolean
  /** Why not: of the artifact itself where it could not be looked at, else of the first part that is refused. */
  readonly reason?: Refusal['reason']
  readonly message?: string
  readonly subjects: readonly SubjectVerdict[]
}

export interface VerifierOptions {
  readonly policy: EffectivePolicy
  readonly now: Date
  readonly signal: AbortSignal
}

/** Artifacts that are looked at together at most, over all references. */
const concurrency = 16

/** Verifies artifacts by one policy. What hangs on a digest is read once, however many artifacts hold it. */
export class Verifier {
  readonly #options: VerifierOptions
  readonly #atOnce = atOnce(concurrency)
  readonly #evidence = new Map<string, Promise<Evidence>>()

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** Verifies what is at a place, and each image in it where it is a bundle. Whatever stands against it is in the answer. */
  async verify(reference: string, open: () => Promise<Place>): Promise<ArtifactVerdict> {
    let digest: string | undefined
    try {
      const place = await this.#atOnce(open)
      const { descriptor } = place
      if (descriptor === undefined)
        return refused(reference, { reason: 'NoneFound', message: `${place.name} is not there. Check the name and the tag.` })
      digest = descriptor.digest
      const subjects = await this.#subjects(place, descriptor)
      const first = subjects.find(({ accepted }) => !accepted)
      const { reason, message } = first ?? {}
      return { reference, digest, accepted: first === undefined, ...(reason && { reason }), ...(message && { message }), subjects }
    } catch (error) {
      this.#options.signal.throwIfAborted()
      return refused(reference, asRefusal(error), digest)
    }
  }

  async #subjects(place: Place, descriptor: Descriptor): Promise<SubjectVerdict[]> {
    const { source } = place
    const { signal } = this.#options
    const { digest } = descriptor
    // What hangs on it is asked for while its manifest is: which of the two kinds it is changes nothing of that.
    const evidence = this.#evidenceOf([source], place.name, descriptor)
    evidence.catch(() => undefined)
    const { bytes } = await this.#atOnce(() => source.manifest(digest, { signal }))
    if (parseManifest(bytes, descriptor.mediaType).artifactType !== bundleTypes.bundle) {
      const [first = digest, ...more] = place.imageNames
      return [await this.#judge({ kind: 'image', names: [first, ...more], digest }, await evidence, false)]
    }
    const bundle = await this.#atOnce(() => readBundle(source, descriptor, { signal }))
    const [first = `bundles/${bundle.config.name}`, ...more] = place.bundleNames
    const itself = await this.#judge({ kind: 'bundle', names: [first, ...more], digest }, await evidence, false)
    const images = bundle.images.map(async (image) => {
      const names = imageName(image.name)
      const found = await this.#evidenceOf([source, ...place.imagePlaces(image.name)], place.name, image.descriptor)
      return this.#judge(
        { kind: 'image', names: [names[0] ?? image.name, ...names.slice(1)], digest: image.descriptor.digest },
        found,
        itself.accepted,
      )
    })
    return [itself, ...(await Promise.all(images))]
  }

  #judge(subject: Subject, evidence: Evidence, inBundle: boolean): Promise<SubjectVerdict> {
    const { policy, now } = this.#options
    return evaluate(subject, evidence, policy, { now, inBundle })
  }

  #evidenceOf(places: readonly ContentSource[], where: string, descriptor: Descriptor): Promise<Evidence> {
    const key = `${where}@${descriptor.digest}`
    const known = this.#evidence.get(key)
    if (known !== undefined) return known
    const reading = this.#atOnce(() => readEvidence(places, descriptor, { signal: this.#options.signal }))
    this.#evidence.set(key, reading)
    return reading
  }
}

function refused(reference: string, { reason, message }: Refusal, digest?: string): ArtifactVerdict {
  return { reference, ...(digest === undefined ? {} : { digest }), accepted: false, reason, message, subjects: [] }
}

/** What an error says of an artifact. Wrong words on the command line, and mistakes in Muster, are thrown on. */
function asRefusal(error: unknown): Refusal {
  if (error instanceof BundleError)
    return { reason: error.code === 'DataDamaged' ? 'DataDamaged' : 'UnknownFormat', message: error.message }
  if (error instanceof OciError && error.code === 'InvalidReference') throw new UsageError(error.message, { cause: error })
  return refusalOf(error)
}
