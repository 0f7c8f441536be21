import { KubeClient, loadKubeconfig } from '@muster/kube'
import { expect, inject, it } from 'vitest'
import { kindTable } from './kind-table.ts'
import { tableOf } from './table-of.ts'

it('what is known of lists and kinds is what the API server says of them', async () => {
  const client = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'muster-test' })
  try {
    const served = tableOf(await client.raw('GET', '/openapi/v2'))
    // To renew it: write `served` to kind-table.json.
    expect(served).toEqual(kindTable)
  } finally {
    client.close()
  }
})
