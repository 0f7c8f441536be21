export { CelError, type CelErrorCode } from './errors.ts'
export { compileExpressions, type Expression, type ExpressionOptions } from './expression.ts'
