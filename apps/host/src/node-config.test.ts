import { describe, expect, it } from 'vitest'
import { planCluster } from './instance.ts'
import { cniConfig, containerdConfig, identityFiles, kubeletConfig, kubeProxyConfig, registryHosts } from './node-config.ts'

const instance = { id: 'dev', x: 70, state: '/s' }
const cluster = planCluster(instance, { name: 'alpha', index: 1, nodes: 2, hub: false })
const [first, second] = cluster.nodes
if (first === undefined || second === undefined) throw new Error('the plan has two nodes')

describe('a node', () => {
  it('pulls images of every name from the instance’s registry and has no other to fall back to', () => {
    const hosts = registryHosts(instance, { name: 'reader', password: 'p"w' })
    expect([...hosts.matchAll(/https?:\/\/[^"]+/g)].map(([url]) => url)).toEqual(['https://10.70.0.1:5000'])
    expect(hosts).toContain('ca = "/var/etc/registry-ca.crt"')
    expect(hosts).toContain(`authorization = "Basic ${Buffer.from('reader:p"w').toString('base64')}"`)
    expect(hosts).not.toContain('push')
    expect(hosts).not.toContain('skip_verify')
    expect(containerdConfig('muster.dev/pause:1')).toContain('config_path = "/var/etc/certs.d"')
  })

  it('gives its pods addresses of its own range, and other nodes give others', () => {
    const ranges = [first, second].map((node) => JSON.parse(cniConfig(node)).plugins[0].ipam.ranges[0][0].subnet)
    expect(ranges).toEqual(['10.134.16.0/24', '10.134.17.0/24'])
  })

  it('lets nobody into its kubelet without a certificate or a token', () => {
    const config = JSON.parse(kubeletConfig(cluster, first, 'muster-dev/alpha-1'))
    expect(config.authentication.anonymous.enabled).toBe(false)
    expect(config.authorization.mode).toBe('Webhook')
    expect(config.readOnlyPort).toBe(0)
    expect(config.address).toBe('10.70.2.11')
    expect(config.clusterDNS).toEqual(['10.198.16.10'])
    expect(config.cgroupRoot).toBe('/muster-dev/alpha-1')
  })

  it('starts a container that crashed again within half a minute', () => {
    const config = JSON.parse(kubeletConfig(cluster, first, 'muster-dev/alpha-1'))
    expect(config.crashLoopBackOff).toEqual({ maxContainerRestartPeriod: '30s' })
  })

  it('routes Services in its own network namespace and leaves limits of the kernel alone', () => {
    const config = JSON.parse(kubeProxyConfig(cluster, first))
    expect(config.mode).toBe('nftables')
    expect(config.clusterCIDR).toBe('10.134.16.0/20')
    expect(config.conntrack).toEqual({ maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' })
  })

  it('has a machine id of its own that stays the same', () => {
    const ids = [first, second, first].map((node) => identityFiles(cluster, node)['machine-id'])
    expect(ids[0]).toMatch(/^[0-9a-f]{32}\n$/)
    expect(ids[0]).toBe(ids[2])
    expect(ids[0]).not.toBe(ids[1])
  })
})
