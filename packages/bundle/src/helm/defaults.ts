/** The Helm that renders charts: Apache-2.0, built from its Go module. A newer one may render differently, so it is pinned. */
export const helmVersion = 'v4.3.1'
export const helmModule = 'helm.sh/helm/v4/cmd/helm'

/** What charts see as `.Capabilities.KubeVersion` where bundle.yaml says nothing: the Kubernetes that Muster builds. */
export const kubernetesVersion = '1.37.2'
