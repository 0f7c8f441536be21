import { readFile } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { isHost, isRepository, isRepositoryPattern, type RegistryServerOptions } from '@muster/oci'
import { parseDocument } from 'yaml'
import * as z from 'zod'
import { HostError } from './errors.ts'

const largestFile = 1024 * 1024
const sizeUnits: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 }
const timeUnits: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const pattern = z.string().refine(isRepositoryPattern, 'is no pattern: use names with * (within a part) and ** (over parts)')
const host = z.string().refine(isHost, 'is no registry: write it as host or host:port')
const file = z.string().refine(isAbsolute, 'is no absolute path')
/** `10GiB`, or a number of bytes. */
const size = amount(sizeUnits, 'is no size: write it as 10GiB, 500MiB or a number of bytes')
/** `30d`, `12h`, `15m` or `30s`, as milliseconds. */
const duration = amount(timeUnits, 'is no length of time: write it as 30d, 12h, 15m or 30s')

const remote = {
  plainHttp: z.boolean().optional(),
  caFile: file.optional(),
  username: z.string().min(1).max(255).optional(),
  passwordFile: file.optional(),
}
const bothOrNone = (one: { username?: string | undefined; passwordFile?: string | undefined }): boolean =>
  (one.username === undefined) === (one.passwordFile === undefined)
const together = 'has only one of username and passwordFile: it needs both, or none'

const rule = z
  .strictObject({
    repositories: pattern,
    keep: z
      .strictObject({
        newest: z.int().min(1).max(1_000_000).optional(),
        youngerThan: duration.optional(),
        tags: z.array(pattern).max(256).optional(),
      })
      .refine(
        (keep) => keep.newest !== undefined || keep.youngerThan !== undefined || (keep.tags?.length ?? 0) > 0,
        'keeps nothing: say newest, youngerThan or tags',
      ),
    untaggedAfter: duration.refine((ms) => ms >= 3_600_000, 'is shorter than an hour, which a push may take').optional(),
  })
  .transform(({ repositories, keep: { newest, youngerThan, tags }, untaggedAfter }) => ({
    repositories,
    keep: { newest, youngerMs: youngerThan, tags },
    untaggedAfterMs: untaggedAfter,
  }))

const policySchema = z.strictObject({ rules: z.array(rule).min(1).max(256) })
/** Which tags stay, repository by repository. */
export type RetentionPolicy = z.infer<typeof policySchema>

const settingsSchema = z.strictObject({
  quotas: z
    .array(z.strictObject({ repositories: pattern, size }))
    .max(256)
    .default([]),
  retention: policySchema.optional(),
  upstreams: z
    .array(
      z
        .strictObject({
          host,
          registry: host.optional(),
          prefix: z.string().refine(isRepository, 'is no name of a repository').optional(),
          repositories: z.array(pattern).max(256).optional(),
          tagsFor: duration.optional(),
          ...remote,
        })
        .refine(bothOrNone, together),
    )
    .max(64)
    .default([]),
  mirrors: z
    .array(
      z
        .strictObject({
          name: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'is no name: use lower-case letters, digits and hyphens'),
          direction: z.enum(['push', 'pull']),
          registry: host,
          repositories: z.array(pattern).min(1).max(256),
          tags: z.array(pattern).max(256).optional(),
          prefix: z
            .string()
            .regex(/^(?:[a-z0-9._-]+\/)+$/, 'is no beginning of a name: end it with /')
            .optional(),
          every: duration.refine((ms) => ms >= 60_000, 'is shorter than a minute').optional(),
          ...remote,
        })
        .refine(bothOrNone, together),
    )
    .max(64)
    .refine((mirrors) => new Set(mirrors.map(({ name }) => name)).size === mirrors.length, 'has two mirrors of one name')
    .default([]),
  garbage: z.strictObject({ every: duration.optional(), grace: duration.optional() }).default({}),
  audit: z
    .strictObject({
      fileSize: size.refine((bytes) => bytes >= 1024 ** 2, 'is below 1MiB').optional(),
      files: z.int().min(1).max(1000).optional(),
    })
    .default({}),
})
/** What the registry does besides storing: one file, `registry/settings.yaml` in the state folder. */
export type RegistrySettings = z.infer<typeof settingsSchema>

/** @throws HostError `SettingsInvalid`, with the path of each mistake */
export function parseRegistrySettings(text: string, name: string): RegistrySettings {
  return parsed(settingsSchema, text, name)
}

/** A file with `rules`, as in the settings' `retention`. @throws HostError `SettingsInvalid` */
export function parseRetentionPolicy(text: string, name: string): RetentionPolicy {
  return parsed(policySchema, text, name)
}

type Remote = {
  readonly plainHttp?: boolean | undefined
  readonly caFile?: string | undefined
  readonly username?: string | undefined
  readonly passwordFile?: string | undefined
}

/** The server's options; reads the files that the settings name. @throws HostError `SettingsInvalid` for one that cannot be read */
export async function registryOptions(
  settings: RegistrySettings,
  read: (path: string) => Promise<string> = (path) => readFile(path, 'utf8'),
): Promise<Pick<RegistryServerOptions, 'quotas' | 'upstreams' | 'mirrors' | 'garbage' | 'audit'>> {
  const { every, grace } = settings.garbage
  const { fileSize, files } = settings.audit
  const content = async (path: string): Promise<string> => {
    try {
      return await read(path)
    } catch (cause) {
      throw new HostError(
        'SettingsInvalid',
        `${path}, which the registry's settings name, cannot be read. Mend that, then restart the registry.`,
        cause,
      )
    }
  }
  const access = async ({ plainHttp, caFile, username, passwordFile }: Remote) => ({
    plainHttp,
    ca: caFile === undefined ? undefined : await content(caFile),
    credentials:
      username === undefined || passwordFile === undefined ? undefined : { username, password: (await content(passwordFile)).trim() },
  })
  return {
    quotas: settings.quotas.map(({ repositories, size: bytes }) => ({ repositories, bytes })),
    upstreams: await Promise.all(
      settings.upstreams.map(async ({ host, registry, prefix, repositories, tagsFor, ...rest }) => ({
        host,
        registry,
        prefix,
        repositories,
        tagMs: tagsFor,
        ...(await access(rest)),
      })),
    ),
    mirrors: await Promise.all(
      settings.mirrors.map(async ({ name, direction, registry, repositories, tags, prefix, every: everyMs, ...rest }) => ({
        name,
        direction,
        registry,
        repositories,
        tags,
        prefix,
        everyMs,
        ...(await access(rest)),
      })),
    ),
    garbage: { ...(every === undefined ? {} : { intervalMs: every }), ...(grace === undefined ? {} : { graceMs: grace }) },
    audit: { ...(fileSize === undefined ? {} : { fileBytes: fileSize }), ...(files === undefined ? {} : { files }) },
  }
}

function parsed<T>(schema: z.ZodType<T>, text: string, name: string): T {
  if (text.length > largestFile) throw new HostError('SettingsInvalid', `${name} is larger than ${largestFile} bytes.`)
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true })
  const [mistake] = document.errors
  if (mistake !== undefined) throw new HostError('SettingsInvalid', `${name} is not YAML: ${mistake.message.split('\n', 1)[0] ?? ''}`)
  const read = schema.safeParse(plain(document, name) ?? {})
  if (read.success) return read.data
  const mistakes = read.error.issues.map(({ path, message }) => `${path.reduce<string>(step, '') || 'the whole'} ${message}`)
  throw new HostError('SettingsInvalid', `${name} is not valid: ${mistakes.slice(0, 10).join('; ')}.`)
}

/** Aliases make small files large; nobody needs one here. */
function plain(document: ReturnType<typeof parseDocument>, name: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    throw new HostError('SettingsInvalid', `${name} has YAML aliases, which are not read here. Write out what they stand for.`, cause)
  }
}

function step(path: string, key: PropertyKey): string {
  if (typeof key === 'number') return `${path}[${key}]`
  return path === '' ? String(key) : `${path}.${String(key)}`
}

function amount(units: Readonly<Record<string, number>>, otherwise: string) {
  return z.union([z.string(), z.int().min(0)]).transform((value, context) => {
    const match = /^([0-9]{1,15})([A-Za-z]*)$/.exec(String(value))
    const unit = units[match?.[2] ?? 'none']
    const result = Number(match?.[1]) * (unit ?? Number.NaN)
    if (Number.isSafeInteger(result)) return result
    context.addIssue({ code: 'custom', message: otherwise })
    return z.NEVER
  })
}
