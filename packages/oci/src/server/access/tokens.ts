import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as z from 'zod'
import { ensureDirectory, readBounded, writeAtomic } from '../../disk.ts'
import { OciError } from '../../errors.ts'
import { parseScope, type Scope } from './scopes.ts'

const maximumTokens = 10_000
const maximumFileBytes = 64 * 1024 * 1024
/** How long one that has expired is still listed. */
const rememberedMs = 30 * 24 * 60 * 60 * 1000

/** A token as it is listed: the secret itself is nowhere. */
export interface TokenRecord {
  readonly name: string
  /** The part of the token by which it is found; no secret. */
  readonly id: string
  readonly scopes: readonly string[]
  /** Milliseconds since 1970. */
  readonly createdMs: number
  readonly expiresMs?: number | undefined
}

interface Held extends TokenRecord {
  readonly hash: Buffer
  readonly parsed: readonly Scope[]
}

const name = z
  .string()
  .max(128)
  .regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?$/)
const scope = z
  .string()
  .max(512)
  .refine((text) => parseScope(text) !== undefined, 'is no scope: write repository:PATTERN:pull,push,delete')

/** What a new token needs. `replace`: one of this name that is there is revoked in the same step. */
export const newTokenSchema = z.strictObject({
  name,
  scopes: z.array(scope).min(1).max(64),
  expiresMs: z.int().min(0).optional(),
  replace: z.boolean().optional(),
})
export type NewToken = z.infer<typeof newTokenSchema>

const fileSchema = z.strictObject({
  version: z.literal(1),
  tokens: z
    .array(
      z.strictObject({
        name,
        id: z.string().regex(/^[0-9a-f]{16}$/),
        hash: z.string().regex(/^[0-9a-f]{64}$/),
        scopes: z.array(scope).min(1).max(64),
        createdMs: z.int(),
        expiresMs: z.int().optional(),
      }),
    )
    .max(maximumTokens),
})

/** What looks like a token is never tried as somebody's password. */
const tokenPattern = /^muster_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/

/** The tokens of a registry, in one file that only its user can read. It holds hashes: who reads it can use none of them. */
export class Tokens {
  readonly #file: string
  readonly #temporary: string
  readonly #now: () => number
  #byId = new Map<string, Held>()
  #last: Promise<unknown> = Promise.resolve()

  private constructor(file: string, temporary: string, now: () => number) {
    this.#file = file
    this.#temporary = temporary
    this.#now = now
  }

  /** @throws OciError `Storage` when the file is damaged: nobody is let in by mistake, or cut off in silence */
  static async open(file: string, temporary: string, now: () => number): Promise<Tokens> {
    const tokens = new Tokens(file, temporary, now)
    await ensureDirectory(dirname(file))
    const bytes = await readBounded(file, maximumFileBytes)
    if (bytes === undefined) return tokens
    const read = fileSchema.safeParse(jsonOf(bytes))
    if (!read.success) throw new OciError('Storage', `${file} is damaged. Restore it, or remove it and create the tokens again.`)
    tokens.#byId = new Map(read.data.tokens.map((one) => [one.id, held(one)]))
    return tokens
  }

  /**
   * Makes a token; its text is told here and never again.
   * @throws OciError `Rejected` when there is one of that name
   */
  create(wanted: NewToken): Promise<{ token: string; record: TokenRecord }> {
    return this.#inTurn(async () => {
      const now = this.#now()
      const present = [...this.#byId.values()].filter(({ expiresMs }) => expiresMs === undefined || expiresMs + rememberedMs > now)
      const others = present.filter((one) => one.name !== wanted.name)
      if (others.length < present.length && wanted.replace !== true)
        throw new OciError('Rejected', `There is a token ${wanted.name} already. Revoke it first, take another name, or replace it.`)
      if (others.length >= maximumTokens)
        throw new OciError('TooLarge', `There are ${maximumTokens} tokens, which is the most. Revoke those that nobody uses.`)
      const id = randomBytes(8).toString('hex')
      const token = `muster_${id}_${randomBytes(32).toString('base64url')}`
      const { name, scopes, expiresMs } = wanted
      const record = { name, id, scopes, createdMs: now, ...(expiresMs === undefined ? {} : { expiresMs }) }
      await this.#write([...others, held({ ...record, hash: sha256(token).toString('hex') })])
      return { token, record }
    })
  }

  /** False: there is none of this name. */
  revoke(name: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const others = [...this.#byId.values()].filter((one) => one.name !== name)
      if (others.length === this.#byId.size) return false
      await this.#write(others)
      return true
    })
  }

  /** In order of names. */
  list(): TokenRecord[] {
    return [...this.#byId.values()].map(({ hash: _, parsed: __, ...record }) => record).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Whether a password or bearer is one of ours by its form. */
  static looksLike(text: string): boolean {
    return tokenPattern.test(text)
  }

  /**
   * Whose token this is; undefined: nobody's, or revoked, or expired. Its hash is compared in constant time, and a secret of 256 bits
   * needs no slow hash.
   */
  authenticate(text: string): { readonly name: string; readonly scopes: readonly Scope[] } | undefined {
    const found = this.#byId.get(tokenPattern.exec(text)?.[1] ?? '')
    if (found === undefined || !timingSafeEqual(found.hash, sha256(text))) return undefined
    if (found.expiresMs !== undefined && this.#now() >= found.expiresMs) return undefined
    return { name: found.name, scopes: found.parsed }
  }

  /** On disk before it counts: who was told that a token is revoked can rely on it over a crash. */
  async #write(tokens: readonly Held[]): Promise<void> {
    const content = { version: 1, tokens: tokens.map(({ parsed: _, hash, ...record }) => ({ ...record, hash: hash.toString('hex') })) }
    await writeAtomic(this.#file, new TextEncoder().encode(JSON.stringify(content)), this.#temporary)
    await chmod(this.#file, 0o600)
    this.#byId = new Map(tokens.map((one) => [one.id, one]))
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine.catch(() => {})
    return mine
  }
}

function held(one: TokenRecord & { readonly hash: string }): Held {
  const { hash, ...record } = one
  return { ...record, hash: Buffer.from(hash, 'hex'), parsed: one.scopes.flatMap((text) => parseScope(text) ?? []) }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
