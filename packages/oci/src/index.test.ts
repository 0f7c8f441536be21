import { expect, it } from 'vitest'
import * as oci from './index.ts'

it('the package offers what it promises, and nothing else', () => {
  expect(Object.keys(oci).sort()).toEqual([
    'Layout',
    'OciError',
    'Registry',
    'copy',
    'digestHex',
    'digestOf',
    'formatReference',
    'isDigest',
    'isRepository',
    'isTag',
    'maximumManifestBytes',
    'mediaTypes',
    'mirrorRepository',
    'parseManifest',
    'parseReference',
    'pushArtifact',
    'pushReferrer',
    'readBlob',
    'readJson',
    'serveRegistry',
  ])
})
