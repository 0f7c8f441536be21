import { readFile } from 'node:fs/promises'
import { writeIfChanged } from './files.ts'
import type { CertificateFiles } from './pki.ts'

/** A kubeconfig with certificates inside, so that the file can be taken elsewhere. JSON is YAML. */
export function kubeconfig(options: {
  readonly name: string
  readonly server: string
  readonly ca: string
  readonly certificate: string
  readonly key: string
}): string {
  const encoded = (pem: string) => Buffer.from(pem).toString('base64')
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: options.name, cluster: { server: options.server, 'certificate-authority-data': encoded(options.ca) } }],
      users: [
        { name: options.name, user: { 'client-certificate-data': encoded(options.certificate), 'client-key-data': encoded(options.key) } },
      ],
      contexts: [{ name: options.name, context: { cluster: options.name, user: options.name } }],
      'current-context': options.name,
    },
    undefined,
    2,
  )}\n`
}

/** Writes a kubeconfig for the holder of a certificate. */
export async function writeKubeconfig(path: string, name: string, server: string, ca: string, holder: CertificateFiles): Promise<string> {
  const [authority, certificate, key] = await Promise.all([ca, holder.certificate, holder.key].map((file) => readFile(file, 'utf8')))
  await writeIfChanged(path, kubeconfig({ name, server, ca: authority ?? '', certificate: certificate ?? '', key: key ?? '' }))
  return path
}
