import { BundleError } from '@muster/bundle'
import { OciError } from '@muster/oci'
import { TrustError } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import { refusalOf } from './bundle-loader.ts'

describe('a bundle that is not taken', () => {
  it.each([
    [new TrustError('SignatureMissing', 'x'), 'SignatureMissing'],
    [new TrustError('SignatureWrongKey', 'x'), 'SignatureWrongKey'],
    [new TrustError('SignatureInvalid', 'x'), 'SignatureInvalid'],
    [new TrustError('DataDamaged', 'x'), 'DataDamaged'],
    [new TrustError('KeyUnreadable', 'x'), 'SignatureInvalid'],
    [new BundleError('DataDamaged', 'x'), 'DataDamaged'],
    [new BundleError('FormatInvalid', 'x'), 'BundleInvalid'],
    [new OciError('DigestMismatch', 'x'), 'DataDamaged'],
    [new OciError('Unreachable', 'x'), 'RegistryUnreachable'],
    [new OciError('Unauthorized', 'x'), 'RegistryUnreachable'],
    [new Error('x'), 'RegistryUnreachable'],
  ])('for %o is %s, and nothing else', (error, reason) => {
    expect(refusalOf(error).reason).toBe(reason)
  })
})
