import { TrustError } from '../errors.ts'

/** A key in a token, as a PKCS#11 URI (RFC 7512) names it. */
export interface TokenKey {
  readonly token?: string
  readonly slotId?: number
  /** Label of the key. */
  readonly object?: string
  /** CKA_ID, lower-case hex. */
  readonly id?: string
  /** Path of the token's PKCS#11 library. */
  readonly modulePath?: string
  /** File whose first line is the PIN. */
  readonly pinFile?: string
}

const maxUriLength = 2048

/**
 * Reads a PKCS#11 URI. Attributes that name a thing in another way than is supported are refused rather than skipped: they would
 * narrow what is meant.
 * @throws TrustError `KeyUnreadable`; `KeyNotAllowed` for a PIN inside the URI, which every process could see
 */
export function parsePkcs11Uri(uri: string): TokenKey {
  if (!uri.startsWith('pkcs11:') || uri.length > maxUriLength) throw unreadable('it does not begin with pkcs11: or is too long')
  const [path = '', query = '', ...rest] = uri.slice('pkcs11:'.length).split('?')
  if (rest.length > 0) throw unreadable('it has two question marks')
  const attributes = new Map([...attributesOf(path, ';'), ...attributesOf(query, '&')])
  if (attributes.has('pin-value'))
    throw new TrustError(
      'KeyNotAllowed',
      'A PIN does not belong in a PKCS#11 URI, where every process of the machine can read it. Use pin-source=file:…, MUSTER_KEY_PASSWORD or --passphrase-file.',
    )
  const key: { -readonly [name in keyof TokenKey]: TokenKey[name] } = {}
  for (const [name, bytes] of attributes) {
    const text = bytes.toString('utf8')
    switch (name) {
      case 'token':
        key.token = text
        break
      case 'object':
        key.object = text
        break
      case 'id':
        key.id = bytes.toString('hex')
        break
      case 'slot-id':
        key.slotId = wholeNumber(text)
        break
      case 'type':
        if (text !== 'private') throw unreadable(`it is of type ${JSON.stringify(text)}, not private`)
        break
      case 'module-path':
        key.modulePath = text
        break
      case 'pin-source':
        key.pinFile = filePath(text)
        break
      default:
        throw unreadable(`its attribute ${JSON.stringify(name)} is not supported`)
    }
  }
  if (key.object === undefined && key.id === undefined) throw unreadable('it names no key: give object= or id=')
  if (key.token === undefined && key.slotId === undefined) throw unreadable('it names no token: give token= or slot-id=')
  return key
}

function attributesOf(part: string, separator: string): [string, Buffer][] {
  if (part === '') return []
  const seen = new Set<string>()
  return part.split(separator).map((attribute) => {
    const at = attribute.indexOf('=')
    const name = attribute.slice(0, Math.max(at, 0))
    if (at < 1 || seen.has(name)) throw unreadable(`"${attribute}" is no attribute, or given twice`)
    seen.add(name)
    return [name, unescaped(attribute.slice(at + 1))]
  })
}

/** Percent-encoding (RFC 3986, 2.1) of bytes, which need not be text. */
function unescaped(text: string): Buffer {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw unreadable('it has a percent sign that escapes nothing')
  if (/[^\x21-\x7e]/.test(text)) throw unreadable('it has characters that must be escaped with a percent sign')
  const bytes = Buffer.from(
    text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
  if (bytes.includes(0)) throw unreadable('it has a zero byte')
  return bytes
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) throw unreadable(`its slot-id ${JSON.stringify(text)} is no number`)
  return Number(text)
}

function filePath(text: string): string {
  const path = text.startsWith('file:') ? text.slice('file:'.length).replace(/^\/\/(?=\/)/, '') : text
  if (!path.startsWith('/')) throw unreadable('its pin-source is no file with an absolute path')
  return path
}

function unreadable(why: string): TrustError {
  return new TrustError(
    'KeyUnreadable',
    `The PKCS#11 URI cannot be used: ${why}. An example: pkcs11:token=team;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so`,
  )
}
