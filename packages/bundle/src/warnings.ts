import { parseReference } from '@muster/oci'
import type { ImageRule } from './image-rules.ts'
import { imagesOf } from './images.ts'
import { describeObject, isRecord, type KubeObjectLike } from './object.ts'

/** A text that looks like an image, in a place where none is known to be: the bundle may run what it does not carry. */
export interface ImageWarning {
  /** `Deployment shop/web` */
  readonly object: string
  /** `spec.template.spec.containers[0].env[2].value` */
  readonly path: string
  readonly image: string
}

const maximumWarnings = 1000
const longestText = 1024 * 1024
/** A host with a dot or a port, a path, and a tag or a digest. */
const withHost =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+|localhost)(?::[0-9]{1,5})?(?:\/[a-z0-9]+(?:[._-]{1,2}[a-z0-9]+)*)+(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$/
/** Below a key of such a name a text needs no host. */
const imageKey = /^(?:image|.*Image|.*_IMAGE|imageName|containerImage)$/
/** Keys that speak of images, not name one. */
const noImageText = /^(?:Always|IfNotPresent|Never)$/

/**
 * Texts of objects that look like images and are none that the bundle is known to carry. Whole texts, and words of longer ones
 * (arguments, scripts, configuration files).
 * @param carried `name@digest` of the bundle's images
 */
export function unpinnedImages(
  objects: readonly KubeObjectLike[],
  carried: ReadonlySet<string>,
  rules: readonly ImageRule[],
): ImageWarning[] {
  const warnings: ImageWarning[] = []
  for (const object of objects) {
    const known = new Set(imagesOf(object, rules).map(({ path }) => pathText(path)))
    const look = (value: unknown, path: readonly PropertyKey[]): void => {
      if (warnings.length >= maximumWarnings) return
      if (Array.isArray(value)) for (const [at, item] of value.entries()) look(item, [...path, at])
      else if (isRecord(value)) for (const [key, item] of Object.entries(value)) look(item, [...path, key])
      else if (typeof value === 'string' && value.length <= longestText && !known.has(pathText(path))) {
        for (const image of imagesIn(value, String(path.at(-1)))) {
          if (!carried.has(image)) warnings.push({ object: describeObject(object), path: pathText(path), image })
        }
      }
    }
    for (const [key, value] of Object.entries(object)) if (!schemas(object, key)) look(value, [key])
  }
  return warnings.slice(0, maximumWarnings)
}

/** What a definition says of its fields is documentation. */
function schemas(object: KubeObjectLike, key: string): boolean {
  return object.kind === 'CustomResourceDefinition' && key === 'spec'
}

function imagesIn(text: string, key: string): string[] {
  if (imageKey.test(key) && !noImageText.test(text) && isImageName(text)) return [text]
  const words = text.length <= 512 && !/[\s"'=,;()<>[\]{}`]/.test(text) ? [text] : text.split(/[\s"'=,;()<>[\]{}`]+/)
  return [...new Set(words.filter((word) => word.length <= 512 && withHost.test(word)))]
}

function isImageName(text: string): boolean {
  if (!/^[a-z0-9][^\s]*[/:]/.test(text) || text.includes('://')) return false
  try {
    parseReference(text)
    return true
  } catch {
    return false
  }
}

/** Keys joined by dots, positions in brackets. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key, at) => {
      if (typeof key === 'number') return `[${key}]`
      const text = String(key)
      return /^[A-Za-z0-9_-]+$/.test(text) ? `${at === 0 ? '' : '.'}${text}` : `["${text}"]`
    })
    .join('')
}
