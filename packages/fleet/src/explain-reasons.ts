import { type ReleaseReason, releaseReasons } from '@muster/api'

/** What a person may type, and what it does. */
export type Suggestion = readonly [command: string, does: string]

/** What is known when advice is given. */
export interface Circumstances {
  readonly name: string
  readonly cluster: string
  /** Namespace of the objects that name none. */
  readonly namespace: string
  /** Repository of the bundle that is wanted. */
  readonly repository: string
  readonly wanted: string | undefined
  readonly running: string | undefined
}

/** What a reason means for someone who has not met it. */
export interface Advice {
  /** What the release waits for, when it waits: the message beside it says of which object. */
  readonly waits?: string
  /** What happens next, without anybody's hand. */
  readonly next: string
  readonly can: (about: Circumstances) => readonly Suggestion[]
}

const events = ({ cluster, namespace }: Circumstances): Suggestion => [
  `muster kubectl ${cluster} -- get events -n ${namespace}`,
  'what Kubernetes says of its objects',
]
const agentLog = ({ cluster }: Circumstances): Suggestion => [
  `muster kubectl ${cluster} -- logs -n muster-system deploy/muster-agent`,
  'what the agent did, and when',
]
const inspect = ({ repository, wanted }: Circumstances): Suggestion => [
  `muster bundle inspect ${repository}:${wanted ?? 'VERSION'}`,
  'what is in the bundle',
]
const signatures = ({ repository, wanted }: Circumstances): Suggestion => [
  `muster tree ${repository}:${wanted ?? 'VERSION'}`,
  'who signed it, and what hangs on it',
]
const sign = ({ repository, wanted }: Circumstances): Suggestion => [
  `muster sign ${repository}:${wanted ?? 'VERSION'} --recursive`,
  'sign it, if it is yours to sign',
]
const otherVersion = ({ name, cluster }: Circumstances): Suggestion => [
  `muster place ${name} --version VERSION --on ${cluster},…`,
  'place another version',
]
const policies = ({ cluster }: Circumstances): Suggestion => [
  `muster kubectl ${cluster} -- get enclavepolicies -o yaml`,
  "what the site asks; the hub's own: muster kubectl hub -- get trustpolicies -o yaml",
]
const tenants: Suggestion = ['muster tenant list', 'what tenants were granted, where, and until when']
const consent = ({ name, cluster }: Circumstances): Suggestion => [
  `muster release consent ${name} --cluster ${cluster} --reason TEXT`,
  'consent to the loss of what waits, and of nothing else',
]
const fleet: Suggestion = ['muster status', 'how the clusters stand, and how old that is']

const refusedAgain =
  'What ran before goes on, and its drift is corrected. The agent looks again every 30 s; nothing else happens until that changes.'
const byVerification = (waits: string, more: Advice['can'] = () => []): Advice => ({
  waits,
  next: refusedAgain,
  can: (about) => [signatures(about), ...more(about), otherVersion(about)],
})

/** Advice for each reason of a Release: a reason that is added without advice does not compile. */
export const adviceOf: Readonly<Record<ReleaseReason, Advice>> = {
  [releaseReasons.healthy]: {
    next: 'It is kept as it is: what anybody changes of it is put back. A newer version comes when the hub places one.',
    can: () => [],
  },
  [releaseReasons.fighting]: {
    waits: 'Another controller writes what is signed again and again.',
    next: 'It is put back ever more slowly, at least every five minutes. Ten minutes without a change end the fight.',
    can: ({ name, cluster }) => [
      [`muster kubectl ${cluster} -- get release ${name} -o yaml`, 'who fights over which fields: status.drift.fights'],
      ['muster place -f placement.yaml', 'leave the field to it (drift.controllers, drift.ignore)'],
    ],
  },
  [releaseReasons.progressing]: {
    waits: 'Its objects are not all healthy yet.',
    next: 'Each change of an object is seen at once, and it is ready as soon as all are healthy. A newer version does not wait for this one.',
    can: (about) => [events(about)],
  },
  [releaseReasons.degraded]: {
    waits: 'An object says of itself that it failed.',
    next: 'Kubernetes goes on trying, and each change is seen at once. A newer version does not wait for this one.',
    can: (about) => [events(about), otherVersion(about)],
  },
  [releaseReasons.applyFailed]: {
    waits: 'The API server refused an object.',
    next: 'The agent tries again: soon where it may pass, with growing pauses up to a minute, else once a minute. The objects that were taken stay.',
    can: (about) => [inspect(about), agentLog(about), otherVersion(about)],
  },
  [releaseReasons.hookFailed]: {
    waits: 'A job that runs before or after the version has failed. The message says how it ended, and what it wrote last.',
    next: 'Where a version before it was healthy here, the agent goes back to that, once. Else nothing more of it is applied. The hook does not run again by itself.',
    can: (about) => [
      events(about),
      [`muster release reconcile ${about.name} --cluster ${about.cluster}`, 'have it run again, once what it needs is mended'],
      otherVersion(about),
    ],
  },
  [releaseReasons.notGranted]: {
    waits: 'The tenant whose release it is may not have everything that is in it.',
    next: 'Nothing of it is applied; what ran before goes on, and its drift is corrected. The agent looks again every 30 s, and at each new channel.',
    can: (about) => [tenants, inspect(about), otherVersion(about)],
  },
  [releaseReasons.tooLarge]: {
    waits: 'It would have more objects than the cluster can list in its Release.',
    next: 'Nothing of it is applied; what ran before goes on, and its drift is corrected. The agent looks again every 30 s.',
    can: (about) => [inspect(about), otherVersion(about)],
  },
  [releaseReasons.grantEnded]: {
    waits: 'A grant of the tenant whose release it is has ended.',
    next: 'It is kept as it is: what anybody changes of it is put back. Nothing new is applied until the tenant is granted it again.',
    can: () => [tenants],
  },
  [releaseReasons.progressDeadlineExceeded]: {
    waits: 'A version did not become healthy in the time that it had.',
    next: 'Where a version before it was healthy here, the agent goes back to that, once. Where there is none, or its placement says so, it stays, and is ready as soon as it is healthy. Another version is tried at once.',
    can: (about) => [events(about), otherVersion(about)],
  },
  [releaseReasons.rolledBack]: {
    waits: 'The version that is wanted failed, and the last good one runs again.',
    next: 'What runs is kept as it is, and its drift is corrected. The version that failed is not tried again; another version, or other settings of this one, are tried at once.',
    can: (about) => [otherVersion(about), events(about)],
  },
  [releaseReasons.signatureMissing]: byVerification('The bundle bears no signature.', (about) => [sign(about)]),
  [releaseReasons.signatureWrongKey]: byVerification(
    'The bundle is signed, but by none of the publishers that count in this fleet.',
    (about) => [sign(about)],
  ),
  [releaseReasons.signatureInvalid]: byVerification(
    'A signature is there that cannot be understood, or is for something else.',
    (about) => [sign(about)],
  ),
  [releaseReasons.attestationMissing]: byVerification('A policy asks for an attestation that is not there.', (about) => [policies(about)]),
  [releaseReasons.identityNotAllowed]: byVerification(
    'It is signed with a certificate that holds, for an identity that no policy allows.',
    (about) => [policies(about)],
  ),
  [releaseReasons.expired]: byVerification('A certificate, or what vouches for it, was outside its time when it signed.', (about) => [
    sign(about),
  ]),
  [releaseReasons.tooOld]: byVerification('An attestation, such as that of a scan, is older than a policy allows.', (about) => [
    policies(about),
  ]),
  [releaseReasons.predicateRefused]: byVerification('What an attestation says does not meet a condition of a policy.', (about) => [
    policies(about),
  ]),
  [releaseReasons.policyInvalid]: {
    waits: 'A policy cannot be used as it is written, so nothing can be verified by it.',
    next: refusedAgain,
    can: (about) => [policies(about)],
  },
  [releaseReasons.dataDamaged]: {
    waits: 'The registry sent bytes that are not those that were signed.',
    next: refusedAgain,
    can: (about) => [
      [`muster verify ${about.repository}:${about.wanted ?? 'VERSION'} --policy FILE`, 'whether the registry sends the same to you'],
      ['muster publish DIR', 'put the bundle there again, from its source'],
    ],
  },
  [releaseReasons.customizationInvalid]: {
    waits: 'A parameter or an overlay does not fit the bundle, or goes beyond what it may. The message says which, and what to do.',
    next: refusedAgain,
    can: (about) => [inspect(about), otherVersion(about)],
  },
  [releaseReasons.bundleInvalid]: {
    waits: 'The bundle does not follow the format.',
    next: refusedAgain,
    can: (about) => [inspect(about), otherVersion(about)],
  },
  [releaseReasons.registryUnreachable]: {
    waits: 'The registry does not give the bundle.',
    next: 'The agent asks again every 5 s and goes on by itself when the registry answers. What runs is kept meanwhile, and nothing is deleted.',
    can: () => [fleet, ['muster logs registry', "what the instance's own registry says"]],
  },
  [releaseReasons.stale]: {
    waits: 'The channel that the cluster holds has expired.',
    next: 'What runs is kept, and its drift is corrected. Nothing new is taken until a newer channel can be read.',
    can: (about) => [fleet, agentLog(about)],
  },
  [releaseReasons.suspended]: {
    waits: 'Somebody has said that nothing is to be done with it.',
    next: 'Nothing is applied, corrected or pruned until it is resumed; what got past the write guard stays until then.',
    can: ({ name, cluster }) => [
      [`muster release resume ${name} --cluster ${cluster}`, 'where the site suspended it'],
      [`muster release resume ${name}`, 'where the hub did'],
    ],
  },
  [releaseReasons.held]: {
    next: 'It is kept as it is: what anybody changes of it is put back.',
    can: ({ name, cluster }) => [[`muster release history ${name} --cluster ${cluster}`, 'what else ran there']],
  },
  [releaseReasons.holdUnknown]: {
    waits: 'The site holds it at something that never ran there.',
    next: 'Nothing new is taken. What ran before is kept, and its drift is corrected.',
    can: ({ name, cluster }) => [
      [`muster release history ${name} --cluster ${cluster}`, 'at what it can be held'],
      [`muster release rollback ${name} --cluster ${cluster} --reason TEXT`, 'hold it at the version before'],
      [`muster release resume ${name} --cluster ${cluster}`, 'follow the channel again'],
    ],
  },
  [releaseReasons.dependencyNotReady]: {
    waits: 'A release that it depends on is not ready.',
    next: 'It goes on as soon as that is ready; in another cluster, a few seconds later. What ran before goes on meanwhile.',
    can: () => [
      ['muster release list', 'how that release stands'],
      ['muster place -f FILE', 'place it without the dependency'],
    ],
  },
  [releaseReasons.dependencyCycle]: {
    waits: 'It depends on itself by way of others, so that it would wait for ever.',
    next: 'Nothing, until one of these dependencies is taken out. What ran before goes on.',
    can: () => [['muster place -f FILE', 'place one of them without its dependency']],
  },
  [releaseReasons.pruning]: {
    waits: 'Objects of it are being deleted.',
    next: 'The agent deletes in the reverse order of applying and looks twice a second. Nothing goes before what needs it is gone.',
    can: (about) => [
      [`muster kubectl ${about.cluster} -- get release ${about.name} -o yaml`, 'what is left of it (status.inventory)'],
      events(about),
    ],
  },
  [releaseReasons.pruneNeedsConsent]: {
    waits: 'Somebody must say that so much may be deleted at once.',
    next: 'Nothing is deleted, and drift is corrected, until that is said or the objects are wanted again.',
    can: (about) => [
      [
        `muster kubectl hub -- annotate cluster ${about.cluster} muster.dev/prune-consent=GENERATION`,
        'consent to what this generation of the channel takes away',
      ],
      consent(about),
      [`muster place ${about.name} --on ${about.cluster}`, 'want it again'],
    ],
  },
  [releaseReasons.protectedNeedsConsent]: {
    waits: 'With what is to be deleted goes what nobody could bring back, such as data.',
    next: 'Everything else of it that is not wanted goes; these objects, and what they need, stay until somebody consents.',
    can: (about) => [
      consent(about),
      [`muster kubectl ${about.cluster} -- get release ${about.name} -o yaml`, 'which objects (status.needsConsent)'],
    ],
  },
}

/** For reasons of agents that are newer than this. */
export const unknownReason: Advice = {
  next: 'The agent of the cluster is newer than this program; its message is all that is known here.',
  can: (about) => [agentLog(about)],
}
