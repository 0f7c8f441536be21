import { compilePattern } from '@muster/trust'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { OverlayError } from './errors.ts'

/** A schema made ready: says what is wrong with a value, without ever saying the value. */
export type CheckValue = (value: unknown) => string | undefined

/** Makes schemas ready. */
export type ReadSchema = (schema: unknown) => CheckValue

/**
 * Makes JSON Schemas (2020-12) ready, one validator for all. References lead nowhere outside of it; `format` is not looked at; patterns are of the part of
 * regular expressions whose time is bounded.
 * What it gives throws OverlayError `SchemaInvalid`.
 */
export function schemaReader(): ReadSchema {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    strictTuples: false,
    validateFormats: false,
    // Keywords check themselves when they are compiled; the schema of schemas takes many times as long.
    meta: false,
    validateSchema: false,
    allowUnionTypes: true,
    logger: false,
    code: { regExp: Object.assign(searching, { code: 'searching' }) },
  })
  return (schema) => {
    let validate: ValidateFunction
    try {
      validate = ajv.compile(typeof schema === 'boolean' ? schema : { ...(schema as object) })
    } catch (cause) {
      throw new OverlayError('SchemaInvalid', cause instanceof Error ? cause.message : String(cause), { cause })
    }
    return (value) => {
      if (validate(value)) return undefined
      const [error] = validate.errors ?? []
      return `${error?.instancePath ? `${error.instancePath} ` : ''}${error?.message ?? 'does not match its schema'}`
    }
  }
}

/** A pattern of a schema may match anywhere in a text; those of ours match the whole. */
function searching(source: string): { test: (text: string) => boolean; toString: () => string } {
  const before = source.startsWith('^') ? '' : String.raw`[\s\S]*`
  const anchored = source.endsWith('$') && !/\\(?:\\\\)*\$$/.test(source)
  const body = source.slice(before === '' ? 1 : 0, anchored ? -1 : undefined)
  const pattern = compilePattern(`${before}(?:${body})${anchored ? '' : String.raw`[\s\S]*`}`)
  // Its text is the name by which the validator keeps it.
  return { test: (text) => pattern.matches(text), toString: () => source }
}
