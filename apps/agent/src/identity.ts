import type { KubeObject } from '@muster/kube'
import { certificateInfo, createKeyPair, createRequest } from '@muster/pki'
import { backoffMs, type Clock } from './clock.ts'
import { AgentError, codeOf, messageOf } from './error.ts'
import { type ClientIdentity, HubClient, type Joined, parseRegistryAccess, type RegistryAccess } from './hub-client.ts'
import type { Logger } from './logger.ts'

const bootstrapName = 'muster-agent-bootstrap'
const identityName = 'muster-agent-identity'

/** Who this cluster is, and where it pulls from. */
export interface Identity extends ClientIdentity {
  readonly cluster: string
  readonly hubUrl: string
  /** Certificates of the hub's authority, PEM. */
  readonly hubCa: string
  readonly registry: RegistryAccess
  readonly channelRepository: string
}

/** What the agent was installed with. */
export interface Bootstrap {
  readonly hubUrl: string
  readonly hubCa: string
  readonly cluster: string
  /** Absent once it was used. */
  readonly token?: string
  /** The trust root that the cluster starts from. */
  readonly trustRoot: string
}

/** What identity.ts asks of a Kubernetes client; `KubeClient` satisfies it. */
export interface SecretStore {
  find(
    ref: { apiVersion: string; kind: string; name: string; namespace: string },
    options: { signal: AbortSignal },
  ): Promise<KubeObject | undefined>
  apply(object: KubeObject, options: { fieldManager: string; force: boolean; signal: AbortSignal }): Promise<KubeObject>
}

export interface IdentityOptions {
  readonly api: SecretStore
  readonly namespace: string
  readonly agentVersion: string
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Reads what the agent was installed with.
 * @throws AgentError `BootstrapIncomplete`
 */
export async function readBootstrap({ api, namespace }: IdentityOptions, signal: AbortSignal): Promise<Bootstrap> {
  const data = await readSecret(api, namespace, bootstrapName, signal)
  const [hubUrl, hubCa, cluster, trustRoot, token] = ['hub-url', 'hub-ca.crt', 'cluster', 'root.json', 'token'].map((key) => data?.get(key))
  if (!hubUrl || !hubCa || !cluster || !trustRoot) {
    throw new AgentError(
      'BootstrapIncomplete',
      `Secret ${namespace}/${bootstrapName} must hold hub-url, hub-ca.crt, cluster, token and root.json. Install the agent again.`,
    )
  }
  return { hubUrl, hubCa, cluster, trustRoot, ...(token ? { token } : {}) }
}

const joinBackoff = { baseMs: 500, maxMs: 30_000 }

/**
 * The identity of this cluster: the stored one, or a new one from the hub for the one-time token. The private key is made here and is
 * stored in this cluster only. Tries until it succeeds: without it there is nothing else to do.
 * @throws AgentError `BootstrapIncomplete`
 */
export async function obtainIdentity(options: IdentityOptions, bootstrap: Bootstrap, signal: AbortSignal): Promise<Identity> {
  const { api, namespace, clock, logger } = options
  const stored = await readIdentity(api, namespace, bootstrap, signal)
  // An expired one too: what runs must be kept while `keepIdentity` sees to a new one.
  if (stored !== undefined) return stored
  for (let attempt = 0; ; attempt++) {
    try {
      return await join(options, bootstrap, signal)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      logger.warn({ code: codeOf(error), reason: messageOf(error), attempt }, 'cannot join the hub yet')
      await clock.sleep(backoffMs(attempt, joinBackoff, clock.random), signal)
    }
  }
}

async function join(options: IdentityOptions, bootstrap: Bootstrap, signal: AbortSignal): Promise<Identity> {
  const { token, cluster } = bootstrap
  if (token === undefined) {
    throw new AgentError('BootstrapIncomplete', `There is no identity and no token to get one. Join cluster ${cluster} again from the hub.`)
  }
  const keys = createKeyPair()
  const csr = await createRequest(keys.privateKey, cluster)
  const hub = new HubClient({ url: bootstrap.hubUrl, ca: bootstrap.hubCa }, userAgent(options.agentVersion))
  const joined = await hub.join({ cluster, token, csr, agentVersion: options.agentVersion }, signal)
  const identity = identityFrom(bootstrap, joined, keys.privateKey)
  await writeIdentity(options, identity, signal)
  options.logger.info({ cluster }, 'joined the hub')
  return identity
}

function identityFrom(bootstrap: Bootstrap, joined: Joined, privateKey: string): Identity {
  return {
    cluster: bootstrap.cluster,
    hubUrl: bootstrap.hubUrl,
    hubCa: bootstrap.hubCa,
    certificate: joined.certificate,
    privateKey,
    registry: joined.registry,
    channelRepository: joined.channelRepository,
  }
}

/** Share of its life after which a certificate is renewed. */
const renewAfter = 2 / 3
/** The clock is looked at this often, in milliseconds: it may be set, and a machine may have slept. */
const renewCheckMs = { most: 30_000, least: 1_000 }

/**
 * Renews the identity at two thirds of its life, with a new key each time. One that has ended, since the cluster was away for long, is
 * renewed as well: the hub takes it for that alone (docs/adr/0009). Where the hub refuses it for good, a new token in the bootstrap
 * Secret is used. Runs until stopped; a hub that is away is asked again.
 */
export async function keepIdentity(
  options: IdentityOptions,
  first: Identity,
  renewed: (identity: Identity) => void,
  signal: AbortSignal,
): Promise<void> {
  let identity = first
  let failed = false
  while (!signal.aborted) {
    const wait = failed
      ? renewCheckMs.most
      : Math.max(renewCheckMs.least, Math.min(renewCheckMs.most, dueInMs(identity, options.clock.now())))
    await options.clock.sleep(wait * (0.8 + 0.4 * options.clock.random()), signal).catch(() => undefined)
    if (signal.aborted || !renewalDue(identity, options.clock.now())) continue
    try {
      identity = await renewOrJoin(options, identity, signal)
      renewed(identity)
      failed = false
    } catch (error) {
      failed = true
      if (!signal.aborted) options.logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'cannot renew the identity yet')
    }
  }
}

/** True when two thirds of the certificate's life are over. */
export function renewalDue(identity: ClientIdentity, now: Date): boolean {
  return dueInMs(identity, now) <= 0
}

/** Milliseconds until two thirds of the certificate's life are over. */
function dueInMs(identity: ClientIdentity, now: Date): number {
  const { notBefore, notAfter } = certificateInfo(identity.certificate, now)
  return notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * renewAfter - now.getTime()
}

async function renewOrJoin(options: IdentityOptions, identity: Identity, signal: AbortSignal): Promise<Identity> {
  try {
    return await renew(options, identity, signal)
  } catch (error) {
    if (!(error instanceof AgentError && error.code === 'HubRefused')) throw error
    // Only a person can help now, by a new token: it may be there already. Where it is not, why it was refused says more.
    return await join(options, await readBootstrap(options, signal), signal).catch(() => {
      throw error
    })
  }
}

async function renew(options: IdentityOptions, identity: Identity, signal: AbortSignal): Promise<Identity> {
  const keys = createKeyPair()
  const csr = await createRequest(keys.privateKey, identity.cluster)
  const hub = new HubClient({ url: identity.hubUrl, ca: identity.hubCa }, userAgent(options.agentVersion))
  const { certificate, hubCa, registry, channelRepository } = await hub.renew(identity.cluster, csr, identity, signal)
  const next: Identity = {
    ...identity,
    certificate,
    privateKey: keys.privateKey,
    // Said by a hub that was authenticated by the authorities trusted until now: the way from the old to the new.
    hubCa: hubCa ?? identity.hubCa,
    registry: registry ?? identity.registry,
    channelRepository: channelRepository ?? identity.channelRepository,
  }
  await writeIdentity(options, next, signal)
  options.logger.info(
    { cluster: identity.cluster, until: certificateInfo(certificate, options.clock.now()).notAfter },
    'renewed the identity',
  )
  return next
}

/** How the agent names itself to servers. */
export function userAgent(version: string): string {
  return `muster-agent/${version}`
}

async function readIdentity(api: SecretStore, namespace: string, bootstrap: Bootstrap, signal: AbortSignal): Promise<Identity | undefined> {
  const data = await readSecret(api, namespace, identityName, signal)
  const [privateKey, certificate, hubCa, registry, channelRepository] = [
    'tls.key',
    'tls.crt',
    'hub-ca.crt',
    'registry.json',
    'channel-repository',
  ].map((key) => data?.get(key))
  if (!privateKey || !certificate || !registry || !channelRepository) return undefined
  return {
    cluster: bootstrap.cluster,
    hubUrl: bootstrap.hubUrl,
    hubCa: hubCa || bootstrap.hubCa,
    certificate,
    privateKey,
    registry: parseRegistryAccess(registry),
    channelRepository,
  }
}

async function writeIdentity({ api, namespace }: IdentityOptions, identity: Identity, signal: AbortSignal): Promise<void> {
  const data = {
    'tls.key': identity.privateKey,
    'tls.crt': identity.certificate,
    'hub-ca.crt': identity.hubCa,
    'registry.json': JSON.stringify(identity.registry),
    'channel-repository': identity.channelRepository,
  }
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
  await api.apply(
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: identityName, namespace }, type: 'Opaque', data: encoded },
    { fieldManager: 'muster-agent', force: true, signal },
  )
}

async function readSecret(
  api: SecretStore,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<Map<string, string> | undefined> {
  const secret = await api.find({ apiVersion: 'v1', kind: 'Secret', name, namespace }, { signal })
  if (secret === undefined) return undefined
  const data = (secret['data'] ?? {}) as Record<string, unknown>
  return new Map(
    Object.entries(data).flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, Buffer.from(value, 'base64').toString('utf8')]] : [],
    ),
  )
}
