import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OciError } from '../errors.ts'
import { readResponseHead } from './response-head.ts'

const read = (text: string) => readResponseHead(Buffer.from(text, 'latin1'), 'registry.example')

describe('the head of an answer', () => {
  it('has status, headers and the length of what follows', () => {
    const head = 'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range:bytes 1-5/6\r\n\r\n'
    expect(read(`${head}hello`)).toEqual({
      status: 206,
      headers: Object.assign(Object.create(null), { 'content-length': '5', 'content-range': 'bytes 1-5/6' }),
      length: 5,
      bytes: head.length,
    })
  })

  it('is awaited as long as a part of it is missing, and no longer than 16 KiB', () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
    fc.assert(fc.property(fc.integer({ min: 0, max: head.length - 1 }), (cut) => read(head.slice(0, cut)) === undefined))
    expect(() => read(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(16 * 1024)}`)).toThrow(OciError)
  })

  it('says no length where only the end of the body tells', () => {
    expect(read('HTTP/1.1 200 OK\r\n\r\n')?.length).toBeUndefined()
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n')?.length).toBeUndefined()
  })

  it('keeps every way to sign in, and the first of anything else', () => {
    const head = read(
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer a\r\nwww-authenticate: Basic b\r\nLocation: /a\r\nLocation: /b\r\n\r\n',
    )
    expect(head?.headers).toMatchObject({ 'www-authenticate': 'Bearer a, Basic b', location: '/a' })
  })

  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n'],
    ['a line that goes on', 'HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\n\r\n'],
    ['a line break of its own', 'HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\n'],
    ['a name with a space', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n'],
  ])('is refused with %s', (_, text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'BadResponse' }))
  })

  it('is read or refused, whatever the bytes', () => {
    const piece = fc.oneof(fc.constantFrom('HTTP/1.1 200 OK', '\r\n', '\r\n\r\n', 'Content-Length: 1', ': ', '\n'), fc.string())
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        try {
          const head = read(pieces.join(''))
          expect(head === undefined || head.bytes <= pieces.join('').length).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })
})
