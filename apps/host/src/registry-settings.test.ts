import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseRegistrySettings, parseRetentionPolicy, registryOptions } from './registry-settings.ts'

const invalid = (message: RegExp) => expect.objectContaining({ code: 'SettingsInvalid', message: expect.stringMatching(message) })
const settings = (text: string) => () => parseRegistrySettings(text, 'settings.yaml')

describe("the registry's settings", () => {
  it('may be empty', async () => {
    expect(await registryOptions(parseRegistrySettings('', 'settings.yaml'))).toEqual({
      quotas: [],
      upstreams: [],
      mirrors: [],
      garbage: {},
      audit: {},
    })
  })

  it('are read with sizes, lengths of time and the files that they name', async () => {
    const text = `
quotas:
  - { repositories: team/**, size: 10GiB }
retention:
  rules:
    - { repositories: bundles/**, keep: { newest: 10, youngerThan: 30d, tags: [stable*] }, untaggedAfter: 7d }
upstreams:
  - { host: registry.example, registry: "cache.example:5000", tagsFor: 5m, username: puller, passwordFile: /etc/muster/upstream, caFile: /etc/muster/ca.crt }
mirrors:
  - { name: away, direction: push, registry: other.example, repositories: [bundles/**], every: 1h, prefix: from-here/ }
garbage: { every: 2h, grace: 90m }
audit: { fileSize: 32MiB, files: 4 }
`
    const read = parseRegistrySettings(text, 'settings.yaml')
    expect(read.retention?.rules).toEqual([
      { repositories: 'bundles/**', keep: { newest: 10, youngerMs: 30 * 86_400_000, tags: ['stable*'] }, untaggedAfterMs: 7 * 86_400_000 },
    ])
    const options = await registryOptions(read, async (path) => `content of ${path}\n`)
    expect(options).toMatchObject({
      quotas: [{ repositories: 'team/**', bytes: 10 * 1024 ** 3 }],
      upstreams: [
        {
          host: 'registry.example',
          registry: 'cache.example:5000',
          tagMs: 300_000,
          credentials: { username: 'puller', password: 'content of /etc/muster/upstream' },
          ca: 'content of /etc/muster/ca.crt\n',
        },
      ],
      mirrors: [{ name: 'away', everyMs: 3_600_000, credentials: undefined }],
      garbage: { intervalMs: 7_200_000, graceMs: 5_400_000 },
      audit: { fileBytes: 32 * 1024 ** 2, files: 4 },
    })
  })

  it.each([
    ['quotas: [{ repositories: "a b", size: 1GiB }]', /quotas\[0\]\.repositories is no pattern/],
    ['quotas: [{ repositories: a, size: 1GB }]', /quotas\[0\]\.size is no size/],
    ['quotas: [{ repositories: a, size: -1 }]', /quotas\[0\]\.size/],
    ['retention: { rules: [{ repositories: a, keep: {} }] }', /retention\.rules\[0\]\.keep keeps nothing/],
    ['retention: { rules: [{ repositories: a, keep: { newest: 1 }, untaggedAfter: 1m }] }', /untaggedAfter is shorter than an hour/],
    ['upstreams: [{ host: a.example, username: x }]', /upstreams\[0\] has only one of/],
    ['upstreams: [{ host: a.example, password: x }]', /upstreams\[0\].*password/],
    ['upstreams: [{ host: a.example, caFile: ca.crt }]', /caFile is no absolute path/],
    ['mirrors: [{ name: A, direction: push, registry: b.example, repositories: [a] }]', /mirrors\[0\]\.name/],
    ['mirrors: [{ name: a, direction: both, registry: b.example, repositories: [a] }]', /mirrors\[0\]\.direction/],
    ['quota: []', /the whole .*quota/],
    ['quotas: [', /is not YAML/],
    ['a: &a [1]\nb: *a', /has YAML aliases/],
  ])('%s is refused by its place', (text, message) => {
    expect(settings(text)).toThrow(invalid(message))
  })

  it('that name a file that is not there say so, and hold no password in their message', async () => {
    const read = parseRegistrySettings('upstreams: [{ host: a.example, username: x, passwordFile: /nonexistent/file }]', 'settings.yaml')
    await expect(registryOptions(read)).rejects.toEqual(invalid(/\/nonexistent\/file, which the registry's settings name, cannot be read/))
  })
})

it('a retention policy is the same rules in a file of their own', () => {
  expect(parseRetentionPolicy('rules: [{ repositories: "**", keep: { newest: 3 } }]', 'policy.yaml').rules).toHaveLength(1)
  expect(() => parseRetentionPolicy('rules: []', 'policy.yaml')).toThrow(invalid(/rules/))
})

describe('the examples', () => {
  const example = (name: string): Promise<string> => readFile(join(import.meta.dirname, '../../../examples/registry', name), 'utf8')

  it('are valid', async () => {
    expect(parseRegistrySettings(await example('settings.yaml'), 'settings.yaml').retention?.rules).toHaveLength(3)
    const { upstreams, mirrors } = parseRegistrySettings(await example('caches-and-mirrors.yaml'), 'caches-and-mirrors.yaml')
    expect([...upstreams, ...mirrors]).toHaveLength(3)
    expect(parseRetentionPolicy(await example('retention.yaml'), 'retention.yaml').rules).toHaveLength(2)
  })

  it('are those of the documentation', async () => {
    const text = await readFile(join(import.meta.dirname, '../../../docs/registry.md'), 'utf8')
    const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block ?? '')
    expect(blocks.length).toBeGreaterThan(3)
    for (const block of blocks) (/^rules:/m.test(block) ? parseRetentionPolicy : parseRegistrySettings)(block, 'docs/registry.md')
  })
})
