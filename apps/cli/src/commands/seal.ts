import { isatty } from 'node:tty'
import type { Placement } from '@muster/api'
import type { BundleParameter } from '@muster/bundle'
import { placeSealed, rotateSealingKey, sealedPlacement, sealingKeyOf } from '@muster/fleet'
import { OciError } from '@muster/oci'
import { maxValueBytes, type Place, type PublicSealingKey, readPublicKey, seal } from '@muster/seal'
import { readNamedBundle } from '../bundles.ts'
import { type Context, withCluster } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { readGivenFile } from '../given-file.ts'
import { ask } from '../passphrase.ts'

const patienceMs = 2 * 60_000
const maxKeyBytes = 4096

export interface SealOptions {
  readonly cluster: string
  readonly release?: string
  readonly fromFile?: string
  readonly key?: string
  readonly print: boolean
  readonly showKey: boolean
  readonly rotate: boolean
  readonly remove: boolean
}

/** `muster seal PARAMETER --cluster C --release R`: seals a value that only that cluster can read, there and nowhere else. */
export async function sealValue(context: Context, parameter: string | undefined, options: SealOptions): Promise<void> {
  if (options.rotate && options.showKey) throw new UsageError('Say one of --rotate and --show-key.')
  if (options.rotate || options.showKey) {
    if (parameter !== undefined || options.release !== undefined)
      throw new UsageError('--rotate and --show-key take --cluster and nothing else.')
    return options.rotate ? rotate(context, options.cluster) : showKey(context, options.cluster)
  }
  const { cluster, release } = options
  if (parameter === undefined || release === undefined)
    throw new UsageError('Say what is sealed: muster seal PARAMETER --cluster NAME --release NAME.')
  const place = placeOf(cluster, release, parameter)
  if (options.remove) return removeSealed(context, place, options)
  const given = options.key === undefined ? undefined : await keyFrom(options.key)
  if (given !== undefined && options.print) {
    context.stdout.write(`${await seal(await secretOf(context, place, options.fromFile), place, given)}\n`)
    return
  }
  await withCluster(context, 'hub', async (hub) => {
    // What can be found wrong is found before anybody types a secret.
    const key = given ?? (await sealingKeyOf(hub, cluster, context.signal))
    if (!options.print) await demandSecretParameter(context, await sealedPlacement(hub, release, context.signal), parameter)
    const sealed = await seal(await secretOf(context, place, options.fromFile), place, key)
    if (options.print) {
      context.stdout.write(`${sealed}\n`)
      return
    }
    await placeSealed(hub, place, sealed, context.signal)
    context.stdout.write(`${parameter} is sealed to key ${key.kid} of ${cluster}, and in the placement of ${release}.\n`)
  })
}

async function removeSealed(context: Context, place: Place, { fromFile, key, print }: SealOptions): Promise<void> {
  if (fromFile !== undefined || key !== undefined || print)
    throw new UsageError('--remove takes no value: leave out --from-file, --key and --print.')
  const { cluster, release, parameter } = place
  await withCluster(context, 'hub', async (hub) => {
    const { spec } = await sealedPlacement(hub, release, context.signal)
    const sealed = Object.keys(spec.sealed?.[cluster] ?? {})
    if (!sealed.includes(parameter))
      throw new Failure(`The placement of ${release} has no value for ${parameter} of ${cluster}. It has: ${sealed.join(', ') || 'none'}.`)
    await placeSealed(hub, place, null, context.signal)
    context.stdout.write(`${parameter} of ${cluster} is no longer in the placement of ${release}.\n`)
  })
}

/** A value for a parameter that the bundle does not have would be refused in the cluster, where it is noticed late. */
async function demandSecretParameter(context: Context, { metadata, spec: { bundle } }: Placement, parameter: string): Promise<void> {
  const parameters = await parametersOf(context, `${bundle.repository}@${bundle.digest}`)
  const found = parameters?.find(({ name }) => name === parameter)
  if (parameters === undefined || found?.secret === true) return
  const what = `${metadata.name} ${bundle.version}`
  if (found !== undefined)
    throw new Failure(`The parameter ${parameter} of ${what} is not secret: say its value under customize: of the placement.`)
  const secret = parameters.flatMap(({ name, secret: isSecret }) => (isSecret === true ? [name] : []))
  throw new Failure(`${what} has no secret parameter ${parameter}. It has: ${secret.join(', ') || 'none'}.`)
}

/** None where the registry is away: the cluster looks at them again. */
async function parametersOf(context: Context, reference: string): Promise<readonly BundleParameter[] | undefined> {
  try {
    return (await readNamedBundle(context, reference, {})).bundle.parameters
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    context.stderr.write(`Whether the bundle has this parameter is not known now: ${error.message}\n`)
    return undefined
  }
}

async function showKey(context: Context, cluster: string): Promise<void> {
  await withCluster(context, 'hub', async (hub) => {
    context.stdout.write(`${JSON.stringify(await sealingKeyOf(hub, cluster, context.signal))}\n`)
  })
}

async function rotate(context: Context, cluster: string): Promise<void> {
  await withCluster(context, 'hub', async (hub) => {
    const rotation = await rotateSealingKey(hub, cluster, new Date(), { signal: context.signal, deadlineMs: patienceMs })
    const anew = rotation.resealed === 1 ? '1 value is' : `${rotation.resealed} values are`
    context.stdout.write(`${cluster} has a new sealing key, ${rotation.key}; ${anew} sealed anew to it.\n`)
    const named = (places: readonly Place[]) => places.map(({ release, parameter }) => `${release}/${parameter}`).join(', ')
    if (rotation.unplaced.length > 0)
      context.stdout.write(`Not placed there now, and to be sealed again before they are: ${named(rotation.unplaced)}.\n`)
    if (rotation.left.length === 0) return
    throw new Failure(
      `Seal these again, each with "muster seal": ${named(rotation.left)}. The cluster does not run them, or cannot read them.`,
    )
  })
}

function placeOf(cluster: string, release: string, parameter: string): Place {
  for (const name of [cluster, release])
    if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
      throw new UsageError(`"${name}" is no name of a cluster or a release: use at most 63 lower-case letters, digits and hyphens.`)
  if (parameter.length > 128) throw new UsageError('A name of a parameter has at most 128 characters.')
  return { cluster, release, parameter }
}

async function keyFrom(file: string): Promise<PublicSealingKey> {
  const text = await readText(file, maxKeyBytes, '--key')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Failure(`${file} is no public key in the form of a JWK. "muster seal --show-key --cluster NAME" prints one.`, { cause })
  }
  return readPublicKey(value)
}

/** The value, byte for byte; never an argument, where every process could read it. */
async function secretOf(context: Context, { parameter }: Place, file = '-'): Promise<string> {
  if (file === '-' && isatty(0)) {
    const typed = await ask(context, `Value of ${parameter}: `)
    if (typed !== undefined) return typed
  }
  const value = await readText(file, maxValueBytes, '--from-file')
  if (value.endsWith('\n')) context.stderr.write('The value ends with a line break, which is sealed with it.\n')
  return value
}

async function readText(file: string, limit: number, option: string): Promise<string> {
  const bytes = await readGivenFile(file, { what: option, limit })
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new Failure(`What ${option} names is no text (UTF-8). Write bytes as base64 first.`, { cause })
  }
}
