import type { ReadBundle } from '@muster/bundle'
import { customize } from './customize.ts'
import { OverlayError, type Problem } from './errors.ts'
import { parsePath } from './path.ts'

/**
 * What is wrong with the parameters that a bundle offers, and with what it lets sites change, before anybody gives a value: schemas that are
 * none, defaults that do not fit, targets and paths that lead nowhere.
 */
export function offeredProblems({ objects, parameters, config }: Pick<ReadBundle, 'objects' | 'parameters' | 'config'>): Problem[] {
  const open = parameters.filter((parameter) => parameter.default === undefined).map(({ name }) => name)
  const { problems } = customize(objects, { parameters, layers: [], hidden: open, namespace: config.name, imageFields: config.imageFields })
  const paths = (config.siteOverlays?.allow ?? []).flatMap(({ path }) => {
    try {
      if (path !== undefined) parsePath(path)
      return []
    } catch (error) {
      if (!(error instanceof OverlayError)) throw error
      return [{ code: error.code, message: `siteOverlays: ${error.message}` }]
    }
  })
  const known = new Set(parameters.map(({ name }) => name))
  const unknown = (config.siteOverlays?.parameters ?? []).filter((name) => !known.has(name))
  return [
    ...problems.filter(({ code }) => code !== 'ImageNotPinned'),
    ...paths,
    ...unknown.map(
      (name): Problem => ({
        code: 'ParameterUnknown',
        message: `siteOverlays lets a site set ${name}, which is no parameter of the bundle.`,
      }),
    ),
  ]
}
