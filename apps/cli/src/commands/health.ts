import { BundleError, type HealthRule, parseLiveObjects, readHealthRules } from '@muster/bundle'
import type { KubeObject } from '@muster/kube'
import { type Health, HealthRules, health, nameOf, refOf } from '@muster/reconcile'
import { printable } from '../bundles.ts'
import type { Context } from '../context.ts'
import { ExitCode, UsageError } from '../errors.ts'
import { readGivenText } from '../given-file.ts'
import { table } from '../table.ts'

export interface HealthOptions {
  readonly filename: readonly string[]
  /** Files with rules under `health:`, such as a bundle.yaml. */
  readonly rules: readonly string[]
  readonly output: 'table' | 'json'
}

/** What `kubectl get` prints of thousands of objects. */
const maxBytes = 128 * 1024 * 1024
const maxRulesBytes = 1024 * 1024
const notHealthy = 1

/**
 * `muster health -f FILE|-`: how objects are, by what they say of themselves, as `kubectl get -o yaml` printed them. No cluster is asked.
 * Exit code 1 where one is neither healthy nor suspended, 2 where a file cannot be read or holds no objects.
 */
export async function healthCommand(context: Context, options: HealthOptions): Promise<void> {
  if (options.filename.length === 0) throw new UsageError('Say which objects: -f FILE, or -f - for standard input.')
  const objects: KubeObject[] = []
  for (const file of options.filename) objects.push(...(await objectsOf(file)))
  const rules = await HealthRules.compile(await rulesOf(options.rules))
  const judged = objects.map((object) => ({ object, health: health(object, rules) }))
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(judged.map(told), undefined, 2)}\n` : `${healthTable(judged)}\n`)
  if (judged.some(({ health: { state } }) => state !== 'Healthy' && state !== 'Suspended')) throw new ExitCode(notHealthy)
}

interface Judged {
  readonly object: KubeObject
  readonly health: Health
}

/** What is said first of a kind holds. */
async function rulesOf(files: readonly string[]): Promise<HealthRule[]> {
  const rules = new Map<string, HealthRule>()
  for (const file of files) {
    const text = await readGivenText(file, { what: 'rules of health', limit: maxRulesBytes })
    const read = await asUsage(async () => readHealthRules(text, file))
    for (const rule of read.filter(({ kind, apiGroup }) => !rules.has(`${kind}.${apiGroup}`)))
      rules.set(`${rule.kind}.${rule.apiGroup}`, rule)
  }
  return [...rules.values()]
}

/** What is wrong with a file that was given is wrong usage, and no state of health. */
async function asUsage<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw error instanceof BundleError ? new UsageError(error.message, { cause: error }) : error
  }
}

async function objectsOf(file: string): Promise<KubeObject[]> {
  const name = file === '-' ? 'standard input' : file
  const text = await readGivenText(file, { what: 'Kubernetes objects', limit: maxBytes })
  const objects = await asUsage(async () => parseLiveObjects(text, name))
  if (objects.length === 0) throw new UsageError(`${name} holds no object. Give what "kubectl get … -o yaml" prints.`)
  return objects
}

function told({ object, health: { state, reason, message } }: Judged): object {
  return { ...refOf(object), state, reason, message }
}

function healthTable(judged: readonly Judged[]): string {
  const rows = judged.map(({ object, health: { state, reason, message } }) => [nameOf(refOf(object)), state, reason, message])
  return table(
    ['OBJECT', 'HEALTH', 'REASON', 'WHY'],
    rows.map((row) => row.map(printable)),
  )
}
