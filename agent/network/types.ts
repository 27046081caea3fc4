/** Where this node's pods get their addresses from. */
export interface PodNetworkConfig {
  readonly nodeName: string;
  /** CNI configuration goes to `cni/net.d` and the address leases to `cni/data` below it. */
  readonly stateDirectory: string;
  /** Where the runtime reads CNI configuration from, when that is not `cni/net.d` below the state directory. */
  readonly cniConfDir?: string;
  readonly serviceCidrs: readonly string[];
  /** Marks the routes that are ours (`ip route ... proto N`); must differ between agents in one network namespace. */
  readonly routeProtocol: number;
  /** How often to look whether routes are still there: links that go down take them along. */
  readonly checkIntervalMs: number;
}

/** A host whose pods must be reached: its pod range and the address to send to. */
export interface Peer {
  readonly nodeName: string;
  readonly podCidrs: readonly string[];
  readonly address: string;
}

/** One route of ours: through a peer, or straight out of an interface. */
export interface Route {
  readonly destination: string;
  readonly via?: string;
  readonly device?: string;
}
