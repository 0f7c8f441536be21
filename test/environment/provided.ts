/** What the shared environment gives to tests through vitest's `inject`. */
declare module 'vitest' {
  interface ProvidedContext {
    /** Path of an administrator's kubeconfig of a real API server. */
    readonly kubeconfig: string
    /** Path of the kubectl that belongs to it. */
    readonly kubectl: string
    /** Id of the running instance; `./muster --instance ID` speaks to it. */
    readonly instance: string
    /** State folder of the instance. */
    readonly state: string
    /** What `muster up` printed when it brought the instance up. */
    readonly up: string
  }
}

export type {}
