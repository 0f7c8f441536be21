import { readFile } from 'node:fs/promises'
import { type VerifyTask, verifyOnce } from './verify-once.ts'

/** `verify-main TASK`: verifies one bundle and ends. */
await verifyOnce(JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as VerifyTask, AbortSignal.timeout(30_000))
