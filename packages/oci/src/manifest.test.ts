import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OciError } from './errors.ts'
import { maximumManifestBytes, mediaTypes, parseManifest } from './manifest.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

const blob = { mediaType: 'application/octet-stream', digest: `sha256:${'a'.repeat(64)}`, size: 3 }
const image = { schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: blob, layers: [blob] }
const index = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [{ ...blob, mediaType: mediaTypes.imageManifest }, blob] }

function encode(json: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(json))
}

describe('manifests', () => {
  it('tell what must be there before them', () => {
    expect(parseManifest(encode(image))).toMatchObject({ kind: 'image', blobs: [blob, blob], manifests: [] })
    expect(parseManifest(encode(index))).toMatchObject({
      kind: 'index',
      blobs: [blob],
      manifests: [{ mediaType: mediaTypes.imageManifest }],
    })
  })

  it('do not wait for layers that may not be distributed', () => {
    const layers = [{ ...blob, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' }, blob]
    expect(parseManifest(encode({ ...image, layers }))).toMatchObject({ layers, blobs: [blob, blob] })
  })

  it('are told apart by their fields where they do not name their type', () => {
    const { mediaType: _image, ...plainImage } = image
    const { mediaType: _index, ...plainIndex } = index
    expect(parseManifest(encode(plainImage)).kind).toBe('image')
    expect(parseManifest(encode(plainIndex)).kind).toBe('index')
  })

  it.each([
    ['another type than the transport said', image, mediaTypes.imageIndex],
    ['an image that is an index too', { ...image, manifests: [] }, undefined],
    ['an index that is an image too', { ...index, layers: [] }, undefined],
    ['a negative size', { ...image, config: { ...blob, size: -1 } }, undefined],
    ['a size that is no integer', { ...image, config: { ...blob, size: 1.5 } }, undefined],
    ['a digest that is a path', { ...image, config: { ...blob, digest: 'sha256:../../etc/passwd' } }, undefined],
    ['an annotation that is no text', { ...image, annotations: { a: 1 } }, undefined],
    ['no layers', { ...image, layers: undefined }, undefined],
    ['schema version 1', { ...image, schemaVersion: 1 }, undefined],
  ])('are refused for %s', (_, json, mediaType) => {
    expect(() => parseManifest(encode(json), mediaType)).toThrow(expect.objectContaining({ code: 'InvalidManifest' }))
  })

  it('are refused over 4 MiB', () => {
    expect(() => parseManifest(new Uint8Array(maximumManifestBytes + 1))).toThrow(expect.objectContaining({ code: 'TooLarge' }))
  })

  it('never fail with anything but an OciError, whatever the bytes', () => {
    const json = fc.oneof(
      fc.json(),
      fc
        .record({ schemaVersion: fc.constant(2), config: fc.jsonValue(), layers: fc.jsonValue(), manifests: fc.jsonValue() })
        .map((value) => JSON.stringify(value)),
    )
    const bytes = fc.oneof(
      fc.uint8Array(),
      json.map((text) => new TextEncoder().encode(text)),
    )
    fc.assert(
      fc.property(bytes, (content) => {
        try {
          parseManifest(content)
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })
})
