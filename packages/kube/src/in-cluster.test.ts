import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inClusterConfig } from './in-cluster.ts'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'service-account-'))
  await writeFile(path.join(directory, 'token'), 'secret')
  await writeFile(path.join(directory, 'namespace'), 'muster-system\n')
})

afterAll(() => rm(directory, { recursive: true }))

describe('inClusterConfig', () => {
  it('takes the address from the environment and the secrets from files, to be read again', async () => {
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' }
    expect(await inClusterConfig({ env, directory })).toEqual({
      server: 'https://10.0.0.1:6443',
      namespace: 'muster-system',
      ca: { file: path.join(directory, 'ca.crt') },
      user: { tokenFile: path.join(directory, 'token') },
    })
  })

  it('knows IPv6 addresses, and the name of the Service where the environment says nothing', async () => {
    expect((await inClusterConfig({ env: { KUBERNETES_SERVICE_HOST: 'fd00::1' }, directory })).server).toBe('https://[fd00::1]:443')
    expect((await inClusterConfig({ directory })).server).toBe('https://kubernetes.default.svc:443')
  })

  it('says so where this is no pod', async () => {
    await expect(inClusterConfig({ directory: path.join(directory, 'none') })).rejects.toMatchObject({ code: 'Config' })
  })
})
