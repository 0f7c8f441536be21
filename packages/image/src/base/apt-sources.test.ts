import { describe, expect, it } from 'vitest'
import { debianSources, parseDeb822Sources, parseOneLineSources } from './apt-sources.ts'

const debian12 = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
const key = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'

describe('the package sources of a suite of Debian', () => {
  it('are those of a host of the same release, mirrors included', () => {
    expect(debianSources(parseDeb822Sources(debian12), { id: 'debian', codename: 'bookworm' }, 'bookworm')).toEqual([
      `deb ${key} http://mirror.example/debian bookworm main`,
      `deb ${key} http://mirror.example/debian bookworm-updates main`,
      `deb ${key} http://mirror.example/debian-security bookworm-security main`,
    ])
  })

  it('are read from the one-line format as well', () => {
    const text = `# deb http://mirror.example/off bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main contrib # here
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
`
    expect(debianSources(parseOneLineSources(text), { id: 'debian', codename: 'bookworm' }, 'bookworm')).toEqual([
      `deb ${key} http://mirror.example/debian bookworm main`,
      'deb http://mirror.example/debian bookworm-updates main',
    ])
  })

  it('are the mirrors of a host of another release, with the suite put in', () => {
    const trixie = parseDeb822Sources(debian12.replaceAll('bookworm', 'trixie'))
    expect(debianSources(trixie, { id: 'debian', codename: 'trixie' }, 'bookworm')).toEqual([
      `deb ${key} http://mirror.example/debian bookworm main`,
      `deb ${key} http://mirror.example/debian bookworm-updates main`,
      `deb ${key} http://mirror.example/debian-security bookworm-security main`,
    ])
  })

  it('leave out other people’s repositories, backports and what is switched off', () => {
    const text = `${debian12}
Types: deb
URIs: http://vendor.example/apt
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/vendor.gpg

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`
    const lines = debianSources(parseDeb822Sources(text), { id: 'debian', codename: 'bookworm' }, 'bookworm')
    expect(lines).toHaveLength(3)
    expect(lines.join()).not.toMatch(/vendor|backports|off\.example/)
  })

  it('are none on a host that is no Debian, or has only its updates', () => {
    const ubuntu = parseOneLineSources('deb http://mirror.example/ubuntu noble main universe\n')
    expect(debianSources(ubuntu, { id: 'ubuntu', codename: 'noble' }, 'bookworm')).toEqual([])
    const updates = parseOneLineSources('deb http://mirror.example/debian bookworm-updates main\n')
    expect(debianSources(updates, { id: 'debian', codename: 'bookworm' }, 'bookworm')).toEqual([])
  })
})
