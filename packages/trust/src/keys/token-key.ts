import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { refusing, TrustError } from '../errors.ts'
import { derTags, readDer, readOctets, writeDer, writeOid } from './der.ts'
import { type KeyKind, kindOf } from './keys.ts'
import { runTool, type ToolEnvironment } from './pkcs11-tool.ts'
import type { TokenKey } from './pkcs11-uri.ts'
import type { SignatureKey } from './signature-key.ts'

export interface TokenOptions {
  /** Of the process: where `pkcs11-tool` is looked up, and what the token's library is told. */
  readonly env: ToolEnvironment
  /** Asked for each signature, where the token wants one. */
  readonly pin?: (() => Promise<string>) | undefined
  readonly signal?: AbortSignal | undefined
}

/** The variable by which pkcs11-tool gets the PIN: never an argument, which every process could see. */
const pinVariable = 'MUSTER_TOKEN_PIN'

/** DigestInfo of SHA-256 before the digest (RFC 8017, 9.2, note 1). */
const sha256Info = Buffer.from('3031300d060960864801650304020105000420', 'hex')

/** What goes to the token: a digest made here, so that any token that can sign at all will do. */
const mechanisms: Readonly<Record<KeyKind, { readonly arguments: readonly string[]; readonly input: (bytes: Uint8Array) => Buffer }>> = {
  prime256v1: {
    arguments: ['--mechanism', 'ECDSA', '--signature-format', 'openssl'],
    input: (bytes) => createHash('sha256').update(bytes).digest(),
  },
  secp384r1: {
    arguments: ['--mechanism', 'ECDSA', '--signature-format', 'openssl'],
    input: (bytes) => createHash('sha384').update(bytes).digest(),
  },
  rsa: {
    arguments: ['--mechanism', 'RSA-PKCS'],
    input: (bytes) => Buffer.concat([sha256Info, createHash('sha256').update(bytes).digest()]),
  },
}

/**
 * A key in a token (smart card, HSM), by OpenSC's `pkcs11-tool`. The private half stays in the token; each signature is a call.
 * @throws TrustError `KeyProvider` where the tool or the token does not do it; `KeyUnreadable` where the token has no such key;
 *   `KeyNotAllowed` for its kind
 */
export async function openTokenKey(where: TokenKey, { env, pin, signal }: TokenOptions): Promise<SignatureKey> {
  const { modulePath } = where
  if (modulePath === undefined)
    throw new TrustError('KeyProvider', 'The PKCS#11 URI does not say by which library the token is reached: add ?module-path=…')
  const token = ['--module', modulePath, ...(where.token === undefined ? ['--slot', String(where.slotId)] : ['--token-label', where.token])]
  const objects = listed(await runTool([...token, '--list-objects'], { env, signal }))
  const id = where.id ?? idOf(objects, where.object ?? '')
  const point = objects.find((object) => object.id === id && object.point !== undefined)
  const spki = point === undefined ? await readPublic([...token, '--id', id], { env, signal }) : spkiOf(point)
  const key = refusing('KeyUnreadable', `The token did not give the public half of the key ${id}.`, () =>
    createPublicKey({ key: spki, format: 'der', type: 'spki' }),
  )
  const mechanism = mechanisms[kindOf(key)]
  return {
    publicKey: key.export({ type: 'spki', format: 'pem' }).toString(),
    sign: async (bytes, signalOfCall = signal) => {
      const secret = await pin?.()
      const login = secret === undefined ? [] : ['--login', '--pin', `env:${pinVariable}`]
      return runTool([...token, ...login, '--sign', '--id', id, ...mechanism.arguments], {
        env: { ...env, ...(secret === undefined ? {} : { [pinVariable]: secret }) },
        input: mechanism.input(bytes),
        signal: signalOfCall,
      })
    },
  }
}

/** Of a token that holds only the certificate beside the private key, the key comes from there. */
async function readPublic(
  place: readonly string[],
  call: { readonly env: ToolEnvironment; readonly signal: AbortSignal | undefined },
): Promise<Buffer> {
  const key = await runTool([...place, '--read-object', '--type', 'pubkey'], call).catch((error: unknown) => {
    if (error instanceof TrustError && error.code === 'KeyProvider') return Buffer.alloc(0)
    throw error
  })
  if (key.length > 0) return key
  const certificate = await runTool([...place, '--read-object', '--type', 'cert'], call)
  return refusing('KeyUnreadable', 'The token holds neither the public key nor a certificate of that id.', () =>
    new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' }),
  )
}

/** A public key or certificate in the tool's list. Of a key on a curve the list has all: the tool itself reads only some curves. */
interface ListedObject {
  readonly label: string | undefined
  readonly id: string
  /** Hex of CKA_EC_PARAMS and CKA_EC_POINT, DER. */
  readonly params: string | undefined
  readonly point: string | undefined
}

function listed(list: Buffer): ListedObject[] {
  return list
    .toString('utf8')
    .split(/^(?=\S)/m)
    .filter((object) => /^(?:Public Key|Certificate) Object/.test(object))
    .flatMap((object) => {
      const field = (name: string): string | undefined => new RegExp(`^ +${name}: +(.*)$`, 'm').exec(object)?.[1]
      const id = field('ID')
      return id === undefined ? [] : [{ label: field('label'), id, params: field('EC_PARAMS'), point: field('EC_POINT') }]
    })
}

/** SubjectPublicKeyInfo (RFC 5480, 2): the point, which PKCS#11 wraps in an octet string, becomes a bit string. */
function spkiOf({ params = '', point = '' }: ListedObject): Buffer {
  return refusing('KeyUnreadable', 'The token lists a key on a curve with a point or parameters that are damaged.', () => {
    const bits = writeDer(0x03, Buffer.of(0), readOctets(readDer(Buffer.from(point, 'hex'))[0]))
    const algorithm = writeDer(derTags.sequence, writeOid('1.2.840.10045.2.1'), Buffer.from(params, 'hex'))
    return writeDer(derTags.sequence, algorithm, bits)
  })
}

/**
 * The id of the one key of a label. The tool itself, told to sign by a label that is not there, takes another key.
 */
function idOf(objects: readonly ListedObject[], label: string): string {
  const [id, ...others] = new Set(objects.filter((object) => object.label === label).map((object) => object.id))
  if (others.length > 0)
    throw new TrustError('KeyUnreadable', `The token has several keys of the label ${JSON.stringify(label)}: name one by id=.`)
  if (id === undefined)
    throw new TrustError('KeyUnreadable', `The token has no public key or certificate of the label ${JSON.stringify(label)} with an id.`)
  return id
}
