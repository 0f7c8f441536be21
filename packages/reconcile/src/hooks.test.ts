import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { hookJobsAt, hookOf, hookRunOf, isHookJob, jobOf, jobState } from './hooks.ts'

const job = (name: string, annotations: Record<string, string> = {}, spec: object = {}) => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name, namespace: 'shop', annotations },
  spec,
})
const said = (events: string, more: Record<string, string> = {}) => hookOf(job('x', { 'muster.dev/hook': events, ...more }))

describe('a hook', () => {
  it('says when it runs, in which order, and when its job goes', () => {
    expect(said('before-install, after-upgrade')).toEqual({ events: ['before-install', 'after-upgrade'], weight: 0, deleteOn: [] })
    const more = { 'muster.dev/hook-weight': '-5', 'muster.dev/hook-delete-policy': 'before-hook-creation,hook-succeeded,hook-failed' }
    expect(said('on-failure', more)).toEqual({ events: ['on-failure'], weight: -5, deleteOn: ['succeeded', 'failed'] })
    expect(hookOf(job('x'))).toBeUndefined()
  })

  it.each([
    ['', {}],
    ['sometimes', {}],
    ['pre-install', {}],
    ['before-install', { 'muster.dev/hook-weight': 'heavy' }],
    ['before-install', { 'muster.dev/hook-weight': '1000001' }],
    ['before-install', { 'muster.dev/hook-delete-policy': 'never' }],
  ])('of "%s" with %j is refused with what it takes', (events, more) => {
    expect(said(events, more)).toEqual(expect.stringContaining('muster.dev/hook'))
  })

  it('runs as a job only, lower weights first, then by name', () => {
    const planned = [job('c', { 'muster.dev/hook': 'after-install' }), job('b', { 'muster.dev/hook': 'after-install,on-failure' })]
      .concat(job('a', { 'muster.dev/hook': 'after-install', 'muster.dev/hook-weight': '1' }))
      .concat({ ...job('needed', { 'muster.dev/hook': 'after-install' }), apiVersion: 'v1', kind: 'Secret' }, job('ordinary'))
      .map((object) => {
        const hook = hookOf(object)
        return { object, ...(typeof hook === 'object' ? { hook } : {}) }
      })
    const names = (event: Parameters<typeof hookJobsAt>[1]) => hookJobsAt(planned, event).map(({ object }) => object.metadata.name)
    expect(names('after-install')).toEqual(['b', 'c', 'a'])
    expect(names('on-failure')).toEqual(['b'])
    expect(names('before-install')).toEqual([])
    expect(planned.filter(isHookJob)).toHaveLength(3)
  })

  it('leaves a job behind that says which run it was, and does not go by itself', () => {
    expect(jobOf(job('x', {}, { backoffLimit: 1, ttlSecondsAfterFinished: 5 }), 'abc.before')).toMatchObject({
      metadata: { labels: { 'muster.dev/hook-run': 'abc.before' } },
      spec: { backoffLimit: 1 },
    })
    expect(jobOf(job('x', {}, { ttlSecondsAfterFinished: 5 }), 'r')['spec']).toEqual({})
  })

  it('counts a job only for the run for which the agent made it: no label that another wrote makes it one', () => {
    const labels = { 'muster.dev/release': 'shop', 'muster.dev/hook-run': 'abc.before' }
    const by = (manager: string, ...owned: string[]) => ({
      manager,
      operation: 'Apply',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:metadata': { 'f:labels': Object.fromEntries(owned.map((label) => [`f:${label}`, {}])) } },
    })
    const made = (...managedFields: object[]): KubeObject => ({
      ...job('x'),
      metadata: { name: 'x', namespace: 'shop', labels, managedFields: managedFields as never },
    })
    const all = Object.keys(labels)
    expect(hookRunOf(made(by('muster-agent', ...all)), 'shop')).toBe('abc.before')
    expect(hookRunOf(made(by('muster-agent', ...all)), 'bank')).toBeUndefined()
    expect(hookRunOf(made(by('kubectl', ...all)), 'shop')).toBeUndefined()
    expect(hookRunOf(made(by('muster-agent', 'muster.dev/release'), by('kubectl', 'muster.dev/hook-run')), 'shop')).toBeUndefined()
    expect(hookRunOf(made(by('muster-agent', 'muster.dev/hook-run'), by('kubectl', 'muster.dev/release')), 'shop')).toBeUndefined()
  })

  it('stands by its job: running until it is complete or failed, and why', () => {
    const condition = (type: string, more = {}) => ({ ...job('x'), status: { conditions: [{ type, status: 'True', ...more }] } })
    expect(jobState(job('x')).state).toBe('running')
    expect(jobState(condition('FailureTarget', { reason: 'BackoffLimitExceeded' })).state).toBe('running')
    expect(jobState(condition('SuccessCriteriaMet')).state).toBe('running')
    expect(jobState(condition('Complete')).state).toBe('succeeded')
    expect(jobState(condition('Failed', { reason: 'BackoffLimitExceeded', message: 'It failed too often' }))).toEqual({
      state: 'failed',
      why: 'BackoffLimitExceeded: It failed too often',
    })
  })
})
