import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { parsePkcs11Uri } from './pkcs11-uri.ts'

describe('a PKCS#11 URI', () => {
  it('names a key by token, label, id, module and the file with its PIN (RFC 7512)', () => {
    const uri = 'pkcs11:token=The%20Team;object=signer;id=%01%AB;type=private?module-path=/usr/lib/p11.so&pin-source=file:/run/pin'
    expect(parsePkcs11Uri(uri)).toEqual({
      token: 'The Team',
      object: 'signer',
      id: '01ab',
      modulePath: '/usr/lib/p11.so',
      pinFile: '/run/pin',
    })
    expect(parsePkcs11Uri('pkcs11:slot-id=7;id=%01')).toEqual({ slotId: 7, id: '01' })
  })

  it('with a PIN in it is refused: every process could read it', () => {
    expect(() => parsePkcs11Uri('pkcs11:token=t;object=o?pin-value=1234')).toThrow(expect.objectContaining({ code: 'KeyNotAllowed' }))
  })

  it.each([
    'pkcs11:',
    'pkcs11:token=t',
    'pkcs11:object=o',
    'pkcs11:token=t;object=o;serial=1',
    'pkcs11:token=t;token=u;object=o',
    'pkcs11:token=t;object=o;type=cert',
    'pkcs11:token=%zz;object=o',
    'pkcs11:token=t;object=%00',
    'pkcs11:token=t;object=о',
    'pkcs11:token=t;object=o?pin-source=relative',
    'pkcs11:token=t;object=o?a?b',
    `pkcs11:token=t;object=${'o'.repeat(3000)}`,
    'file:key',
  ])('%j is refused with a sentence', (uri) => {
    expect(() => parsePkcs11Uri(uri)).toThrow(expect.objectContaining({ code: 'KeyUnreadable' }))
  })

  it('that is any text is refused or understood, never a crash', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parsePkcs11Uri(`pkcs11:${text}`)
        } catch (error) {
          return error instanceof TrustError
        }
        return true
      }),
    )
  })
})
