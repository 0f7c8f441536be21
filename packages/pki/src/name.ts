import { x509 } from './x509.ts'

/** A distinguished name given as data: no string is parsed, so no name can smuggle in another attribute. */
export function distinguishedName(commonName: string, organizations: readonly string[] = []): x509.Name {
  return new x509.Name([
    ...organizations.map((organization) => ({ O: [{ utf8String: organization }] })),
    { CN: [{ utf8String: commonName }] },
  ])
}
