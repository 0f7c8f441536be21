/** Version of the agent, as it tells the hub. */
export const agentVersion = '0.1.0'
