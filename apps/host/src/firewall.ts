import { type ClusterPlan, hubNodePort, type Instance, kernelNames, ports, registryAddress } from './instance.ts'

/**
 * The packet filter of an instance, as text for `nft -f -`. It replaces the instance's table in one step and touches no other.
 *
 * Closed by default. From a cluster's bridge go only: to its own control plane, to the registry, between its own nodes and
 * pods, and to the hub's NodePort on the hub's nodes. Source addresses must be the cluster's own. Nothing is let in from, or
 * out to, the networks of the machine; no address is translated.
 */
export function ruleset(instance: Instance, clusters: readonly ClusterPlan[]): string {
  const { table, registryBridge } = kernelNames(instance)
  const hub = clusters.find((cluster) => cluster.hub)
  const bridges = [registryBridge, ...clusters.map((cluster) => cluster.bridge)].map(quoted).join(', ')
  const hubNodes = hub?.nodes.map((node) => node.address) ?? []
  const own = (cluster: ClusterPlan) => `{ ${cluster.nodeNet}, ${cluster.podNet} }`

  const input = clusters.map(
    (cluster) => `
  chain in_${cluster.index} {
    ct state established,related accept
    ip saddr != ${own(cluster)} drop
    ip daddr ${cluster.address} tcp dport ${ports.apiserver} accept
    ip daddr ${registryAddress(instance)} tcp dport ${ports.registry} accept
    icmp type echo-request ip daddr ${cluster.address} accept
    drop
  }`,
  )
  const within = clusters.map(
    (cluster) =>
      `    iifname ${quoted(cluster.bridge)} oifname ${quoted(cluster.bridge)} ip saddr ${own(cluster)} ip daddr ${own(cluster)} accept`,
  )
  const toHub =
    hub === undefined || hubNodes.length === 0
      ? []
      : clusters
          .filter((cluster) => cluster !== hub)
          .map(
            (cluster) =>
              `    iifname ${quoted(cluster.bridge)} oifname ${quoted(hub.bridge)} ip saddr ${own(cluster)} ip daddr { ${hubNodes.join(', ')} } tcp dport ${hubNodePort} accept`,
          )
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {${input.join('')}

  chain forwarded {
    ct state established,related accept
${[...within, ...toHub].join('\n')}
    drop
  }

  chain input {
    type filter hook input priority filter; policy accept;
${clusters.map((cluster) => `    iifname ${quoted(cluster.bridge)} goto in_${cluster.index}`).join('\n')}
    iifname != "lo" ip daddr { 10.${instance.x}.0.0/16, 10.${instance.x + 64}.0.0/16, 10.${instance.x + 128}.0.0/16 } drop
  }

  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname { ${bridges} } goto forwarded
    oifname { ${bridges} } goto forwarded
  }
}
`
}

function quoted(name: string): string {
  return `"${name}"`
}
