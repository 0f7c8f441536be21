/** PEM text, or a file that holds it; a file is read again when it has changed. */
export type PemSource = { readonly pem: string } | { readonly file: string }

/** How to run a credential plugin. Source: client.authentication.k8s.io, "client-go credential plugins". */
export interface ExecConfig {
  readonly apiVersion: string
  readonly command: string
  readonly args: readonly string[]
  /** The whole environment of the plugin. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly installHint?: string
  /** Tell the plugin which cluster it is asked for. */
  readonly provideClusterInfo: boolean
}

/** Who the client is. */
export interface UserConfig {
  readonly certificate?: PemSource
  readonly key?: PemSource
  readonly token?: string
  /** A file that somebody renews, such as a projected service account token. Read again once a minute. */
  readonly tokenFile?: string
  readonly username?: string
  readonly password?: string
  readonly exec?: ExecConfig
}

/** As whom the client acts. Source: Kubernetes docs, "User impersonation". */
export interface Impersonation {
  readonly user: string
  readonly uid?: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** Everything that is needed to reach one API server. */
export interface ClientConfig {
  /** Base address, such as `https://10.0.0.1:6443`; may have a path. */
  readonly server: string
  /** Namespace for objects that name none. */
  readonly namespace?: string
  /** What the server's certificate must chain to. Without it: Node's own roots. */
  readonly ca?: PemSource
  /** The name in the server's certificate, where it is not that of `server`. */
  readonly serverName?: string
  /** Accepts any certificate. Only for what the kubeconfig says so. */
  readonly insecureSkipTlsVerify?: boolean
  /** An HTTP proxy that is asked to CONNECT to the server. */
  readonly proxyUrl?: string
  readonly user?: UserConfig
  readonly impersonate?: Impersonation
}
