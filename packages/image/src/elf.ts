import { open } from 'node:fs/promises'
import { ImageError } from './errors.ts'
import type { Architecture } from './platform.ts'

/** e_machine by our names of processors (ELF specification, and its psABI supplements). */
const machines: Readonly<Record<Architecture, number>> = { amd64: 62, arm64: 183 }
const programHeaderInterpreter = 3

/**
 * Makes sure that a binary starts on a base without libraries: a 64-bit little-endian ELF program for that processor, which
 * names no interpreter. Read here, since in a cluster the same mistake reads "no such file or directory".
 * @throws ImageError `BinaryUnfit`
 */
export async function checkStaticBinary(file: string, architecture: Architecture): Promise<void> {
  const handle = await open(file, 'r')
  try {
    const head = Buffer.alloc(64)
    const { bytesRead } = await handle.read(head, 0, 64, 0)
    if (bytesRead < 64 || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) {
      throw new ImageError('BinaryUnfit', `${file} is not a Linux program (64-bit ELF). Give a binary built for linux/${architecture}.`)
    }
    if (head.readUInt16LE(18) !== machines[architecture]) {
      throw new ImageError(
        'BinaryUnfit',
        `${file} is built for another processor than ${architecture}. Build it for linux/${architecture}, or ask for the platform that it is for.`,
      )
    }
    const offset = Number(head.readBigUInt64LE(32))
    const size = head.readUInt16LE(54)
    const count = head.readUInt16LE(56)
    const table = Buffer.alloc(size * count)
    await handle.read(table, 0, table.length, offset)
    for (let index = 0; index < count; index++) {
      if (size >= 4 && table.readUInt32LE(index * size) === programHeaderInterpreter) {
        throw new ImageError(
          'BinaryUnfit',
          `${file} needs the system's dynamic loader, which an empty base does not have. Link it statically (for Go: CGO_ENABLED=0).`,
        )
      }
    }
  } finally {
    await handle.close()
  }
}
