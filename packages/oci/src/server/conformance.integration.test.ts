import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { goPeer, goPeers, peerMs } from '../../../../test/peers/peers.ts'
import { startRegistry, temporaryDirectory, writer } from '../testing/registry.ts'

let conformance: string

beforeAll(async () => {
  conformance = await goPeer(goPeers.ociConformance)
}, peerMs)

describe('the embedded registry', () => {
  it('passes the conformance suite of distribution-spec 1.1: pull, push, content discovery, content management', async () => {
    const registry = await startRegistry()
    const results = await temporaryDirectory()
    const outcome = await run(conformance, [], {
      cwd: results,
      env: {
        PATH: process.env['PATH'],
        HOME: results,
        OCI_VERSION: '1.1',
        OCI_REGISTRY: registry.host,
        OCI_TLS: 'disabled',
        OCI_USERNAME: writer.username,
        OCI_PASSWORD: writer.password,
        OCI_RESULTS_DIR: results,
        // What the specification leaves to the registry and ours does.
        OCI_API_BLOBS_UPLOAD_CANCEL: 'true',
        OCI_API_BLOBS_DIGEST_HEADER: 'true',
        OCI_API_MANIFESTS_DIGEST_HEADER: 'true',
        // The one thing that it leaves to the registry and ours does not.
        OCI_DATA_SHA512: 'false',
      },
    })
    const cases = readCases(await readFile(join(results, 'junit.xml'), 'utf8'))
    expect(cases.filter(({ status }) => status !== 'passed' && status !== 'skipped').map(({ name }) => name)).toEqual([])
    // Answered with all of the blob, which is allowed where a range makes no sense.
    expect(cases.filter(({ status }) => status === 'skipped').map(({ name }) => name)).toEqual([expect.stringMatching(/range 500-0$/)])
    for (const area of areas) expect(outcome.stdout).toMatch(new RegExp(`^ +${area}\\.*: +Pass$`, 'm'))
    expect(cases.length).toBeGreaterThan(500)
    expect(outcome.code).toBe(0)
  })
})

const areas = [
  'Tag listing',
  'Tag delete',
  'Blob upload cancel',
  'Blob push',
  'Blob chunked',
  'Blob streaming',
  'Blob mount',
  'Blob anonymous mount',
  'Blob get range',
  'Blob delete',
  'Manifest put by digest',
  'Manifest put by tag',
  'Manifest put with subject',
  'Manifest get by tag',
  'Manifest head by digest',
  'Manifest delete',
  'Referrers',
]

function readCases(junit: string): { name: string; status: string }[] {
  return [...junit.matchAll(/<testcase name="([^"]*)"[^>]* status="([^"]*)"/g)].map(([, name = '', status = '']) => ({ name, status }))
}
