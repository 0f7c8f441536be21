/** Namespace of the hub and of the agents. */
export const systemNamespace = 'muster-system'

/** Field manager of what is installed from outside: the hub, and an agent until it manages itself. */
export const installer = 'muster-install'
