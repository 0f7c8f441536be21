import { type Publisher, readPublicKey } from '@muster/trust'
import { HubError } from '../errors.ts'

/** The ConfigMap that names publishers: name → public key (SPKI, PEM). */
export const publishersConfigMap = 'muster-publishers'

/**
 * The publishers in order of names, from the data of the ConfigMap.
 * @throws HubError `PublishersUnreadable` when it is missing or holds something that is no key: a channel without the keys of all
 *   publishers would make clusters refuse their bundles
 */
export function readPublishers(data: Readonly<Record<string, string>> | undefined): Publisher[] {
  if (data === undefined)
    throw new HubError('PublishersUnreadable', `The ConfigMap ${publishersConfigMap} is missing. Create it, with a key per publisher.`)
  return Object.entries(data)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, publicKey]) => {
      try {
        readPublicKey(publicKey)
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new HubError('PublishersUnreadable', `The ConfigMap ${publishersConfigMap} has no usable key for ${name}: ${why}`, { cause })
      }
      return { name, publicKey }
    })
}
