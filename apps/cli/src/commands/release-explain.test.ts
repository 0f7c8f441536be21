import { type Placement, type Release, type ReleaseReason, type ReleaseReport, releaseReasons } from '@muster/api'
import { explainRelease, releaseViews } from '@muster/fleet'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { program } from '../program.ts'
import { runHere } from '../testing/run.ts'
import { explanationText } from './release-explain.ts'
import { releaseTable } from './release-list.ts'

const now = new Date('2026-01-01T12:07:30Z')
const digest = (digit: string): string => `sha256:${digit.repeat(64)}`
const bundle = (version: string, digit: string) => ({ repository: 'bundles/shop', version, digest: digest(digit) })
const metadata = { name: 'shop', labels: { 'muster.dev/cluster': 'alpha' } }

function release(reason: string, message: string, ready = false): Release {
  return {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'Release',
    metadata,
    spec: { bundle: bundle('1.1.0', 'b'), channelGeneration: 12 },
    status: {
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', reason, message, lastTransitionTime: '2026-01-01T12:03:30Z' }],
      appliedDigest: digest('a'),
      appliedVersion: '1.0.0',
      signedBy: ['publisher'],
      inventory: [{ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'web' }],
      drift: { corrected: 2, lastAt: '2026-01-01T11:00:00Z', lastObject: 'ConfigMap shop/web' },
    },
  }
}

function explained(reason: string, message: string, ready = false) {
  const [view] = releaseViews({ clusters: [], placements: [], releases: new Map([['alpha', [release(reason, message, ready)]]]), now })
  if (view === undefined) throw new Error('there is no view')
  return explainRelease(view, now)
}

/** Of a release whose cluster answers. */
function told(more: Partial<NonNullable<Release['status']>>) {
  const one = release('Progressing', 'On its way.')
  const releases = new Map([['alpha', [{ ...one, status: { ...one.status, ...more } }]]])
  const [view] = releaseViews({ clusters: [], placements: [], releases, now })
  return view && explainRelease(view, now)
}

/** Of one of which only the hub knows. */
function reported(more: Partial<ReleaseReport>) {
  const said = { name: 'shop', version: '1.0.0', digest: digest('a'), signedBy: ['publisher'], ready: false, reason: 'Progressing' }
  const report = { ...said, message: 'On its way.', driftCorrected: 0, drifted: false, ...more }
  return explainRelease({ name: 'shop', cluster: 'alpha', silent: false, report, reportAgeSeconds: 3 }, now)
}

/** What is waited for, by reason: a reason that is added must be explained, and looked at here. */
const waits: Readonly<Record<ReleaseReason, RegExp>> = {
  Healthy: /^$/,
  Fighting: /again and again/,
  Progressing: /not all healthy yet\. The message/,
  Degraded: /says of itself that it failed/,
  ApplyFailed: /API server refused an object/,
  HookFailed: /job that runs before or after the version has failed/,
  NotGranted: /may not have everything that is in it/,
  TooLarge: /more objects than the cluster can list/,
  GrantEnded: /A grant of the tenant/,
  SignatureMissing: /bears no signature/,
  SignatureWrongKey: /by none of the publishers that count/,
  SignatureInvalid: /cannot be understood/,
  AttestationMissing: /an attestation that is not there/,
  IdentityNotAllowed: /an identity that no policy allows/,
  Expired: /outside its time/,
  TooOld: /older than a policy allows/,
  PredicateRefused: /does not meet a condition/,
  PolicyInvalid: /cannot be used as it is written/,
  DataDamaged: /not those that were signed/,
  CustomizationInvalid: /does not fit the bundle, or goes beyond/,
  BundleInvalid: /does not follow the format/,
  RegistryUnreachable: /registry does not give the bundle/,
  Stale: /channel that the cluster holds has expired/,
  Suspended: /nothing is to be done with it/,
  Held: /^The message says/,
  HoldUnknown: /never ran there/,
  DependencyNotReady: /that it depends on is not ready/,
  DependencyCycle: /depends on itself by way of others/,
  Pruning: /are being deleted/,
  ProtectedNeedsConsent: /nobody could bring back/,
  PruneNeedsConsent: /must say that so much may be deleted/,
  ProgressDeadlineExceeded: /did not become healthy in the time/,
  RolledBack: /the last good one runs again/,
}

describe('a release explained', () => {
  it('says what it is, what is wanted, what it waits for, since when, what happens next, and what one can do', () => {
    const text = explanationText(explained('Degraded', 'Deployment shop/web: Progress deadline exceeded.'))
    expect(text).toBe(`shop in alpha: not ready (Degraded)
What it is          Version 1.0.0 (sha256:aaaaaaaaaaaa) runs, signed by publisher. It has 1 object. Drift was
                    put back 2 times, the last time at 2026-01-01 11:00:00 UTC (ConfigMap shop/web).
What is wanted      Version 1.1.0 (sha256:bbbbbbbbbbbb), by generation 12 of the channel.
What it waits for   An object says of itself that it failed. Deployment shop/web: Progress deadline exceeded.
Since when          Not ready for 4 min (since 2026-01-01 12:03:30 UTC).
What happens next   Kubernetes goes on trying, and each change is seen at once. A newer version does not wait
                    for this one.
What you can do     muster kubectl alpha -- get events -n shop         what Kubernetes says of its objects
                    muster place shop --version VERSION --on alpha,…   place another version`)
  })

  it.each(Object.values(releaseReasons))('has words for reason %s, and only commands that there are', (reason) => {
    const one = explained(reason, 'The message says of which object.', reason === 'Healthy')
    expect(one.waits ?? '').toMatch(waits[reason])
    for (const sentence of [one.is, one.wanted, one.since ?? '', one.next]) expect(sentence).toMatch(/^[A-Z].*\.$/)
    for (const [command, does] of one.can) {
      expect(does).not.toBe('')
      expect(unknownWords(command)).toEqual([])
    }
    for (const line of explanationText(one).split('\n')) expect(line.length).toBeLessThanOrEqual(150)
  })

  it('says for what it waits, and since when', () => {
    const waitingFor = { what: 'Wave' as const, names: ['Deployment shop/db'], since: '2026-01-01T12:05:30Z' }
    const text = 'It has waited for Deployment shop/db for 120 s (since 2026-01-01 12:05:30 UTC).'
    for (const one of [told({ waitingFor }), reported({ waitingFor })]) expect(one?.waits).toContain(text.replace('120 s', '2 min'))
  })

  it('says from which version it went back to which, when and why, and what has that tried again', () => {
    const [from, to] = [
      { version: '1.1.0', digest: digest('b') },
      { version: '1.0.0', digest: digest('a') },
    ]
    const why = { at: '2026-01-01T12:03:30Z', reason: 'Degraded', message: 'Deployment shop/web: no pods' }
    const said =
      'At 2026-01-01 12:03:30 UTC it went back from version 1.1.0 (sha256:bbbbbbbbbbbb) to 1.0.0 (sha256:aaaaaaaaaaaa), as that was not healthy in time (Degraded): Deployment shop/web: no pods. That version is tried again once something else was, or with other settings.'
    expect(told({ rollback: { key: 'k', from, to, ...why } })?.is).toContain(said)
    expect(reported({ rollback: { ...from, to, ...why } })?.is).toContain(said)
  })

  it('says what is done about drift, how often, and what is left to whom', () => {
    const left = [{ what: 'ConfigMap shop/web data["log.level"]', owner: 'shop-team', until: '2026-12-24T00:00:00Z' }]
    const said =
      'What others change of it is told and left as it is (drift.mode: detect). ConfigMap shop/web data["log.level"] is left to others: shop-team answers for that, until 2026-12-24T00:00:00Z.'
    expect(told({ drift: { corrected: 2, mode: 'detect', left } })?.is).toContain(said)
    expect(reported({ drift: { mode: 'detect', left } })?.is).toContain(said)
  })

  it('says where the site holds it, and what it makes different, with its reasons', () => {
    const found = release('Healthy', '1 of 1 objects is healthy.', true)
    const hold = { digest: digest('b'), reason: 'orders fail', since: '2026-01-01T12:00:00Z' }
    const own = { name: 'visit', level: 'site', reason: 'The minister comes' } as const
    const there = { ...found, spec: { ...found.spec, site: { hold } }, status: { ...found.status, customizations: [own] } }
    const [view] = releaseViews({ clusters: [], placements: [], releases: new Map([['alpha', [there]]]), now })
    expect(view && explainRelease(view, now)).toMatchObject({
      is: expect.stringContaining(" The site's own overlay visit is in force: The minister comes.") as string,
      wanted: 'The site holds it at version 1.1.0 (sha256:bbbbbbbbbbbb) since 2026-01-01 12:00:00 UTC: orders fail.',
      next: 'It stays there, whatever the hub places, until it is resumed.',
      can: [['muster release resume shop --cluster alpha', 'follow the channel again']],
    })
  })

  it('says of a reason that it does not know what the agent said', () => {
    expect(explained('Tomorrow', 'Something new.')).toMatchObject({ reason: 'Tomorrow', waits: 'Something new.' })
  })

  it('that is wanted and was not heard of says so', () => {
    const placement: Placement = {
      apiVersion: 'muster.dev/v1alpha1',
      kind: 'Placement',
      metadata: { name: 'shop' },
      spec: { bundle: bundle('1.0.0', 'a'), clusters: { all: true } },
    }
    const cluster = { apiVersion: 'muster.dev/v1alpha1', kind: 'Cluster', metadata: { name: 'alpha' }, spec: {} } as const
    const [view] = releaseViews({ clusters: [cluster], placements: [placement], releases: new Map(), now })
    expect(view && explainRelease(view, now)).toMatchObject({
      reason: 'NotReported',
      waits: 'The agent of alpha has not said anything of it.',
    })
  })

  it('tells no terminal what to do', () => {
    expect(explanationText(explained('ApplyFailed', 'refused by \u001b[31mred\u001b[0m'))).not.toContain('\u001b')
  })

  it('is listed by cluster, with what is wanted beside what runs', () => {
    const releases = new Map([['alpha', [release('Progressing', 'on its way')]]])
    expect(releaseTable(releaseViews({ clusters: [], placements: [], releases, now }), now)).toBe(
      'CLUSTER   RELEASE   WANTED   RUNS    READY   REASON        FOR     DRIFT\nalpha     shop      1.1.0    1.0.0   no      Progressing   4 min   -, 2× put back',
    )
  })

  it('needs an instance, or a kubeconfig', async () => {
    expect(await runHere('release', 'explain', 'shop')).toMatchObject({ code: 1, err: expect.stringContaining('muster up') as string })
    expect(await runHere('release', 'explain', 'No!')).toMatchObject({ code: 2 })
  })
})

/** Of a command that is suggested: commands and options that the command line does not have. */
function unknownWords(text: string): string[] {
  const [muster, ...words] = text.split(' -- ')[0]?.split(' ') ?? []
  expect(muster).toBe('muster')
  const surroundings = { environment: {}, signal: new AbortController().signal, stdout: process.stdout, stderr: process.stderr }
  let command = program(surroundings)
  const unknown: string[] = []
  for (const word of words) {
    const below: Command | undefined = command.commands.find((one) => one.name() === word)
    if (below !== undefined) command = below
    else if (word.startsWith('-') && !command.options.some(({ long, short }) => long === word || short === word)) unknown.push(word)
    else if (command.registeredArguments.length === 0) unknown.push(word)
  }
  return unknown
}
