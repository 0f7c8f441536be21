import { inject } from 'vitest'
import { type Instance, instanceOf } from './command.ts'
import './provided.ts'

/** The running instance that the end-to-end tests share. */
export function sharedInstance(): Instance {
  return instanceOf(inject('instance'), inject('state'))
}
