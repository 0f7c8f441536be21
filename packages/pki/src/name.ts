import * as x509 from '@peculiar/x509'

/** A distinguished name given as data: no string is parsed, so no name can smuggle in another attribute. */
export function distinguishedName(commonName: string, organizations: readonly string[] = []): x509.Name {
  return new x509.Name([
    ...organizations.map((organization) => ({ O: [{ utf8String: organization }] })),
    { CN: [{ utf8String: commonName }] },
  ])
}
