/** The pod network of this host. Every path follows from the state directory. */
export interface PodNetworkConfig {
  /** Pod range of this node, e.g. `10.42.3.0/24`. */
  readonly podCidr: string;
  readonly bridgeName: string;
  readonly mtu: number;
}

/** A host whose pods must be reached: its pod range and the address to send to. */
export interface Peer {
  readonly nodeName: string;
  readonly podCidrs: readonly string[];
  readonly address: string;
}
