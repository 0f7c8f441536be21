import { expect, it } from 'vitest'
import * as kube from './index.ts'

it('exports what others build on, and nothing else', () => {
  expect(Object.keys(kube).sort()).toEqual(
    [
      'Controller',
      'EventRecorder',
      'Informer',
      'KubeClient',
      'KubeError',
      'LeaderElector',
      'Manager',
      'TerminalError',
      'WorkQueue',
      'backoffDelay',
      'connectionBackoff',
      'describe',
      'findCondition',
      'groupOf',
      'inClusterConfig',
      'isConditionTrue',
      'isKubeError',
      'itemBackoff',
      'keyOf',
      'loadKubeconfig',
      'parseKubeconfig',
      'parseKey',
      'pause',
      'refOf',
      'removeCondition',
      'setCondition',
      'systemClock',
    ].sort(),
  )
})
