import { rootCertificates } from 'node:tls'
import * as z from 'zod'
import { runTool } from '../command.ts'
import { type BuildContext, layerOf } from '../context.ts'
import { bytesContent } from '../entry.ts'
import { ImageError } from '../errors.ts'
import type { Layer } from '../layer.ts'
import { findNodeRuntime } from '../node/runtime.ts'
import { hostArchitecture } from '../platform.ts'
import { accountEntries, certificatesPath } from './accounts.ts'

/** The base of static binaries: no shell, no libraries; certificate authorities, accounts, /tmp. */
export async function emptyBase(context: BuildContext): Promise<Layer> {
  const certificates = await mozillaRoots(context)
  return layerOf(context, 'base: CA certificates, accounts, /tmp', [
    ...accountEntries(),
    { kind: 'file', path: certificatesPath, mode: 0o644, content: bytesContent(`${certificates.join('\n')}\n`) },
  ])
}

/**
 * Mozilla's certificate authorities, as Node carries them: of the pinned Node, so that the layer is the same whichever Node
 * runs this, and never the host's store, which may hold authorities of its own.
 */
async function mozillaRoots(context: BuildContext): Promise<readonly string[]> {
  const runtime = await findNodeRuntime({ nodePackageDir: undefined }, hostArchitecture())
  if (runtime.version === process.versions.node) return rootCertificates
  const output = await runTool(
    { node: runtime.binary, ...context.tools },
    {
      tool: 'node',
      args: ['--print', 'JSON.stringify(tls.rootCertificates)'],
      cwd: context.cacheDir,
      env: {},
      purpose: 'list the certificate authorities',
      deadlineMs: 30_000,
      outputLimit: 4 << 20,
      ...(context.signal ? { signal: context.signal } : {}),
    },
  )
  const roots = z.array(z.string().startsWith('-----BEGIN CERTIFICATE-----')).safeParse(JSON.parse(output.toString('utf8')))
  if (!roots.success || roots.data.length === 0) {
    throw new ImageError(
      'BuildFailed',
      `${runtime.binary} lists no certificate authorities. Run npm install in the folder of Muster again.`,
      { cause: roots.error },
    )
  }
  return roots.data
}
