import { describe, expect, it } from 'vitest'
import { ruleset } from './firewall.ts'
import { planCluster } from './instance.ts'

const instance = { id: 'my-dev', x: 70, state: '/s' }
const hub = planCluster(instance, { name: 'hub', index: 0, nodes: 1, hub: true })
const alpha = planCluster(instance, { name: 'alpha', index: 1, nodes: 2, hub: false })

describe('the packet filter', () => {
  it('lets a cluster reach its own control plane, the registry and itself, and the hub’s port: nothing else', () => {
    const accepts = ruleset(instance, [hub, alpha])
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.endsWith(' accept') && !line.startsWith('ct state'))
    expect(accepts).toEqual([
      'ip daddr 10.70.1.1 tcp dport 6443 accept',
      'ip daddr 10.70.0.1 tcp dport 5000 accept',
      'icmp type echo-request ip daddr 10.70.1.1 accept',
      'ip daddr 10.70.2.1 tcp dport 6443 accept',
      'ip daddr 10.70.0.1 tcp dport 5000 accept',
      'icmp type echo-request ip daddr 10.70.2.1 accept',
      'iifname "mu70c0" oifname "mu70c0" ip saddr { 10.70.1.0/24, 10.134.0.0/20 } ip daddr { 10.70.1.0/24, 10.134.0.0/20 } accept',
      'iifname "mu70c1" oifname "mu70c1" ip saddr { 10.70.2.0/24, 10.134.16.0/20 } ip daddr { 10.70.2.0/24, 10.134.16.0/20 } accept',
      'iifname "mu70c1" oifname "mu70c0" ip saddr { 10.70.2.0/24, 10.134.16.0/20 } ip daddr { 10.70.1.11 } tcp dport 30443 accept',
    ])
  })

  it('ends every chain that a cluster’s packets go through with drop', () => {
    const chains = ruleset(instance, [hub, alpha]).matchAll(/chain (in_\d+|forwarded) \{([^}]*(?:\{[^}]*\}[^}]*)*)\n {2}\}/g)
    const ends = [...chains].map(([, name, body]) => [name, body?.trim().split('\n').at(-1)?.trim()])
    expect(ends).toEqual([
      ['in_0', 'drop'],
      ['in_1', 'drop'],
      ['forwarded', 'drop'],
    ])
  })

  it('replaces the instance’s own table in one step and names no other', () => {
    const text = ruleset(instance, [hub])
    expect(text.startsWith('table inet muster_my_dev\ndelete table inet muster_my_dev\ntable inet muster_my_dev {')).toBe(true)
    expect([...text.matchAll(/table inet (\S+)/g)].map(([, name]) => name)).toEqual(['muster_my_dev', 'muster_my_dev', 'muster_my_dev'])
  })

  it('opens nothing between clusters while there is no hub', () => {
    expect(ruleset(instance, [alpha])).not.toContain('30443')
  })
})
