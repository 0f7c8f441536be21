import { bytesContent, folder, type LayerEntry } from '../entry.ts'

/** The user that images run as unless the recipe says otherwise. Numeric, so that Kubernetes can see that it is not root. */
export const nonRoot = 65532

const passwd = `root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:${nonRoot}:${nonRoot}:nonroot:/home/nonroot:/sbin/nologin
`
const group = `root:x:0:
nobody:x:65534:
nonroot:x:${nonRoot}:
`

/** Where every base keeps its bundle of certificate authorities. */
export const certificatesPath = 'etc/ssl/certs/ca-certificates.crt'

/** Variables that every base sets. */
export const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  SSL_CERT_FILE: `/${certificatesPath}`,
}

/** What both bases have: accounts, name lookup through files before DNS, a writable /tmp, a home for the user. */
export function accountEntries(): LayerEntry[] {
  const text = (path: string, content: string): LayerEntry => ({ kind: 'file', path, mode: 0o644, content: bytesContent(content) })
  return [
    text('etc/passwd', passwd),
    text('etc/group', group),
    text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
    folder('home/nonroot'),
    folder('root'),
    folder('tmp'),
    folder('var/tmp'),
  ]
}
