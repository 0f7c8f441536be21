import { open } from 'node:fs/promises'
import {
  type Curve,
  generatePrivateKey,
  isPrivateKey,
  type KeyFormat,
  keyHint,
  keyId,
  kindOf,
  publicPem,
  readKeyText,
  readPrivateKeyFile,
  readPublicKey,
  TrustError,
  writePrivateKey,
} from '@muster/trust'
import type { Context } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { givenPassphrase, newPassphrase, passphraseOf } from '../passphrase.ts'
import { openKey } from '../signing.ts'

export interface KeyCreateOptions {
  readonly curve: Curve
  readonly format: KeyFormat
  readonly passphraseFile?: string
}

/** `muster key create NAME`: NAME.key, private, and NAME.pub. What is there is never overwritten. */
export async function keyCreate(context: Context, name: string, { curve, format, passphraseFile }: KeyCreateOptions): Promise<void> {
  const key = generatePrivateKey(curve)
  const passphrase = usable(format, await newPassphrase(context, `${name}.key`, passphraseFile))
  await writeNew(`${name}.key`, await writePrivateKey(key, format, passphrase), 0o600)
  await writeNew(`${name}.pub`, publicPem(key), 0o644)
  if (passphrase === undefined) context.stderr.write(`${name}.key is not encrypted: whoever reads the file can sign.\n`)
  context.stdout.write(`Made ${name}.key (private, ${curve}) and ${name}.pub. Its id is ${keyId(publicPem(key))}.\n`)
}

export interface KeyShowOptions {
  readonly passphraseFile?: string
  readonly output: 'text' | 'json' | 'pem'
}

/** `muster key show FILE|URI`: what a key is, and its public half. */
export async function keyShow(context: Context, where: string, { passphraseFile, output }: KeyShowOptions): Promise<void> {
  const shown = await look(context, where, passphraseFile)
  const { publicKey } = shown
  const facts = { ...shown, kind: kinds[kindOf(readPublicKey(publicKey))], id: keyId(publicKey), hint: keyHint(publicKey) }
  if (output === 'pem') context.stdout.write(publicKey)
  else if (output === 'json') context.stdout.write(`${JSON.stringify(facts, null, 2)}\n`)
  else
    context.stdout.write(
      `Kind:      ${facts.kind}, ${shown.holds}\nId:        ${facts.id}\nHint:      ${facts.hint} (in signatures)\n${publicKey}`,
    )
}

const kinds = { prime256v1: 'ECDSA P-256', secp384r1: 'ECDSA P-384', rsa: 'RSA' } as const

async function look(
  context: Context,
  where: string,
  passphraseFile: string | undefined,
): Promise<{ publicKey: string; holds: string; encrypted?: boolean }> {
  if (where.startsWith('pkcs11:'))
    return { publicKey: (await openKey(context, where, passphraseFile)).publicKey, holds: 'private key in a token' }
  const text = await readKeyText(where)
  if (!isPrivateKey(text)) {
    return { publicKey: readPublicKey(text).export({ type: 'spki', format: 'pem' }).toString(), holds: 'public key' }
  }
  const { key, format, encrypted } = await named(where, () => readPrivateKeyFile(text, () => passphraseOf(context, where, passphraseFile)))
  const how = format === 'cosign' ? "in cosign's format" : 'as PKCS#8'
  return { publicKey: publicPem(key), holds: `private key ${how}, ${encrypted ? 'encrypted' : 'not encrypted'}`, encrypted }
}

export interface KeyConvertOptions {
  readonly format: KeyFormat
  readonly out: string
  readonly passphraseFile?: string
  readonly newPassphraseFile?: string
  readonly plain: boolean
}

/** `muster key convert FILE --format F --out FILE`: the same key in another form, or under another passphrase. */
export async function keyConvert(context: Context, file: string, options: KeyConvertOptions): Promise<void> {
  const { format, out, passphraseFile, newPassphraseFile, plain } = options
  if (plain && (format === 'cosign' || newPassphraseFile !== undefined))
    throw new UsageError("--plain goes with --format pkcs8 and no --new-passphrase-file: cosign's format is always encrypted.")
  let opened: string | undefined
  const text = await readKeyText(file)
  const { key } = await named(file, () =>
    readPrivateKeyFile(text, async () => {
      opened = await passphraseOf(context, file, passphraseFile)
      return opened
    }),
  )
  const wanted =
    newPassphraseFile === undefined
      ? (opened ?? (await newPassphrase(context, out, passphraseFile)))
      : await givenPassphrase(context, newPassphraseFile)
  const passphrase = plain ? undefined : usable(format, wanted)
  await writeNew(out, await writePrivateKey(key, format, passphrase), 0o600)
  context.stdout.write(`Wrote ${out} (${format}, ${passphrase === undefined ? 'not encrypted' : 'encrypted'}).\n`)
}

/** An empty passphrase is how cosign's users say that they want none. In its format that encrypts; elsewhere it is none. */
function usable(format: KeyFormat, passphrase: string | undefined): string | undefined {
  return format === 'pkcs8' && passphrase === '' ? undefined : passphrase
}

async function named<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof TrustError) throw new TrustError(cause.code, `${file}: ${cause.message}`, cause)
    throw cause
  }
}

async function writeNew(file: string, text: string, mode: number): Promise<void> {
  try {
    const handle = await open(file, 'wx', mode)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    throw new Failure(`${file} is there already, and keys are not overwritten. Give another name, or move it away.`)
  }
}
