import * as z from 'zod'

const schema = z.object({
  /** Namespace of the agent's Secrets and its state. */
  MUSTER_NAMESPACE: z.string().min(1).max(63).default('muster-system'),
  /** Folder for content that was pulled; may be emptied at any time. */
  MUSTER_STORE: z.string().min(1).default('/var/lib/muster'),
  /** How often the channel is asked for, in milliseconds. */
  MUSTER_POLL_MS: z.coerce.number().int().min(100).max(3_600_000).default(2_000),
  /** How long a watch of the API server may be silent before it is taken for dead, in milliseconds. */
  MUSTER_WATCH_SILENCE_MS: z.coerce.number().int().min(1_000).max(3_600_000).default(150_000),
  /** Where the kubelet's probes and a Prometheus are answered. */
  MUSTER_PROBE_HOST: z.string().default('0.0.0.0'),
  MUSTER_PROBE_PORT: z.coerce.number().int().min(0).max(65_535).default(8_081),
  MUSTER_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /** Name of this instance in events. */
  HOSTNAME: z.string().default('muster-agent'),
  /** A kubeconfig, where the agent runs outside of its cluster. */
  KUBECONFIG: z.string().optional(),
})

export interface Settings {
  readonly namespace: string
  readonly store: string
  readonly pollMs: number
  readonly watchSilenceMs: number
  readonly probes: { readonly host: string; readonly port: number }
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly instance: string
  readonly kubeconfig: string | undefined
}

/** Reads settings from environment variables. Throws zod's error, which names the variable that is wrong. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const read = schema.parse(env)
  return {
    namespace: read.MUSTER_NAMESPACE,
    store: read.MUSTER_STORE,
    pollMs: read.MUSTER_POLL_MS,
    watchSilenceMs: read.MUSTER_WATCH_SILENCE_MS,
    probes: { host: read.MUSTER_PROBE_HOST, port: read.MUSTER_PROBE_PORT },
    logLevel: read.MUSTER_LOG_LEVEL,
    instance: read.HOSTNAME,
    kubeconfig: read.KUBECONFIG || undefined,
  }
}
