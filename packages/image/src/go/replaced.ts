import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import * as z from 'zod'
import { type Command, runTool } from '../command.ts'
import type { BuildContext } from '../context.ts'

const downloadDeadlineMs = 10 * 60_000

const listSchema = <T extends z.ZodType>(item: T) => z.array(item).nullish()
const goModSchema = z.object({
  Require: listSchema(z.object({ Path: z.string() })),
  Replace: listSchema(
    z.object({ Old: z.object({ Path: z.string(), Version: z.string().optional() }), New: z.object({ Version: z.string().optional() }) }),
  ),
})

/**
 * Makes a go.mod in `dir` for a module whose own go.mod replaces modules by folders beside it. Such a folder is a module itself, so what
 * was downloaded does not have it (https://go.dev/ref/mod#zip-files). The published version that the same go.mod requires is taken, as
 * it is where others depend on the module; the checksum database vouches for it, since go.sum has none of it. All else stays locked.
 * @returns the file for `go build -modfile`; undefined where nothing is replaced so
 * @throws ImageError `DownloadFailed` where a required version was not published
 */
export async function withoutReplacedFolders(
  sourceDir: string,
  dir: string,
  environment: Readonly<Record<string, string>>,
  context: BuildContext,
): Promise<string | undefined> {
  const name = basename(sourceDir)
  const go = (args: readonly string[], more: Pick<Command, 'purpose' | 'deadlineMs'> & Partial<Command>) =>
    runTool(context.tools, {
      tool: 'go',
      args,
      cwd: sourceDir,
      env: { ...environment, GOFLAGS: '' },
      ...more,
      ...(context.signal ? { signal: context.signal } : {}),
    })
  const answer = await go(['mod', 'edit', '-json'], { purpose: `read go.mod of ${name}`, deadlineMs: 60_000 })
  const { Require: required, Replace: replaced } = goModSchema.parse(JSON.parse(answer.toString('utf8')))
  // A folder has no version.
  const folders = (replaced ?? []).filter((replacement) => replacement.New.Version === undefined).map((replacement) => replacement.Old)
  if (folders.length === 0) return undefined

  const modfile = join(dir, 'go.mod')
  await writeFile(modfile, await readFile(join(sourceDir, 'go.mod')))
  const sums = await readFile(join(sourceDir, 'go.sum')).catch((error: NodeJS.ErrnoException) => {
    // A module that depends on nothing but its own folders has none.
    if (error.code !== 'ENOENT') throw error
    return ''
  })
  await writeFile(join(dir, 'go.sum'), sums)
  const drop = folders.map(({ Path: path, Version: version }) => `-dropreplace=${path}${version === undefined ? '' : `@${version}`}`)
  await go(['mod', 'edit', ...drop, modfile], { purpose: `write ${modfile}`, deadlineMs: 60_000 })
  const missing = [...new Set(folders.map(({ Path: path }) => path))].filter((path) => required?.some((one) => one.Path === path))
  if (missing.length > 0) {
    context.log(`go: ${name} replaces by folders, taken as published: ${missing.join(', ')}`)
    await go(['mod', 'download', `-modfile=${modfile}`, ...missing], {
      purpose: `download what go.mod of ${name} replaces by folders, in the versions that it requires`,
      deadlineMs: downloadDeadlineMs,
      failure: 'DownloadFailed',
      onLine: context.log,
    })
  }
  return modfile
}
