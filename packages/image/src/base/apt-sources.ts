import { readdir, readFile } from 'node:fs/promises'

/** One package source of apt, whichever of its two file formats it was written in. */
export interface AptSource {
  readonly uris: readonly string[]
  readonly suites: readonly string[]
  readonly components: readonly string[]
  readonly signedBy?: string
}

/**
 * Reads a one-line-style sources file (`deb [options] uri suite component…`).
 *
 * @see sources.list(5)
 */
export function parseOneLineSources(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line)
    const [, options = '', uri, suite, components = ''] = match ?? []
    if (uri === undefined || suite === undefined) return []
    const signedBy = /(?:^|\s)signed-by=(\/\S+)/i.exec(options)?.[1]
    return [
      { uris: [uri], suites: [suite], components: components.split(/\s+/).filter(Boolean), ...(signedBy !== undefined && { signedBy }) },
    ]
  })
}

/**
 * Reads a deb822-style sources file. Stanzas that are disabled, are for source packages only or carry their key inline are
 * passed over.
 *
 * @see sources.list(5)
 */
export function parseDeb822Sources(text: string): AptSource[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>()
    let last = ''
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue
      const field = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line)
      if (field !== null) {
        last = (field[1] ?? '').toLowerCase()
        fields.set(last, field[2] ?? '')
      } else if (last !== '' && /^\s/.test(line)) fields.set(last, `${fields.get(last)} ${line.trim()}`)
    }
    const words = (name: string): string[] => (fields.get(name) ?? '').split(/\s+/).filter(Boolean)
    const signedBy = words('signed-by')[0]
    if (!words('types').includes('deb') || /^(no|false|0|off)$/i.test(fields.get('enabled') ?? '')) return []
    if (signedBy !== undefined && !signedBy.startsWith('/')) return []
    return [{ uris: words('uris'), suites: words('suites'), components: words('components'), ...(signedBy !== undefined && { signedBy }) }]
  })
}

/**
 * The sources of a suite of Debian as this host reaches them, as lines of sources.list(5). None where the host is no Debian.
 */
export async function hostDebianSources(suite: string): Promise<string[]> {
  const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
  const sources: AptSource[] = parseOneLineSources(await read('/etc/apt/sources.list'))
  const dir = '/etc/apt/sources.list.d'
  for (const name of (await readdir(dir).catch(() => [])).sort()) {
    if (name.endsWith('.list')) sources.push(...parseOneLineSources(await read(`${dir}/${name}`)))
    if (name.endsWith('.sources')) sources.push(...parseDeb822Sources(await read(`${dir}/${name}`)))
  }
  const release = await read('/etc/os-release')
  const value = (key: string): string => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(release)?.[1] ?? ''
  return debianSources(sources, { id: value('ID'), codename: value('VERSION_CODENAME') }, suite)
}

/**
 * The sources of a suite, as lines of sources.list(5): those of the host, with its mirrors, where the host is Debian; where its
 * release is another, the same mirrors with the suite put in. None where the host is no Debian. Sources signed by anybody
 * else's key are left out.
 *
 * @param host what /etc/os-release says: ID and VERSION_CODENAME
 */
export function debianSources(sources: readonly AptSource[], host: { id: string; codename: string }, suite: string): string[] {
  const lines = new Set<string>()
  const base = (name: string): string => name.replace(/(-updates|-security|\/updates)$/, '')
  for (const own of [suite, ...(host.id === 'debian' ? [host.codename] : [])]) {
    for (const source of sources) {
      if (!source.components.includes('main') || !isDebianKey(source.signedBy)) continue
      for (const name of source.suites) {
        if (own === '' || base(name) !== own) continue
        const options = source.signedBy === undefined ? '' : `[signed-by=${source.signedBy}] `
        for (const uri of source.uris) lines.add(`deb ${options}${uri} ${suite}${name.slice(own.length)} main`)
      }
    }
    // Updates alone are no distribution: the suite itself must be among them.
    if ([...lines].some((line) => line.endsWith(` ${suite} main`))) return [...lines]
    lines.clear()
  }
  return []
}

function isDebianKey(signedBy: string | undefined): boolean {
  return signedBy === undefined || /\/debian-archive[^/]*$/.test(signedBy)
}
