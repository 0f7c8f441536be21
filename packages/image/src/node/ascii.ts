/** A literal where an expression may begin; a template that looks like one is left alone where it holds a template's or a string's end. */
const literal = /(?<=[=(,:[!&|?{};])\/(?![*/])(?:[^/\\\n[`"']|\\.|\[(?:[^\]\\\n`]|\\.)*\])+\//g

/**
 * Writes what is not ASCII in regular expressions as escapes of code units, which mean the same there. They are what esbuild leaves as it is
 * with `charset: 'ascii'`, beside tagged templates, whose functions may see how their text is written.
 */
export function asciiRegularExpressions(source: string): string {
  return source.replace(literal, (found) =>
    found.replace(/\\(.)|[\u0080-\uffff]/g, (part, escaped: string | undefined) => {
      const character = escaped ?? part
      // A backslash before what needs none means nothing.
      return character < '\u0080' ? part : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    }),
  )
}
