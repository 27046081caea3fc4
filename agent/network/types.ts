/** Where this node's pods get their addresses from, and how they reach those of other hosts. */
export interface PodNetworkConfig {
  readonly nodeName: string;
  /** CNI configuration goes to `cni/net.d` and the address leases to `cni/data` below it. */
  readonly stateDirectory: string;
  /** Where the runtime reads CNI configuration from, when that is not `cni/net.d` below the state directory. */
  readonly cniConfDir?: string;
  readonly serviceCidrs: readonly string[];
  /** How this host wants to reach others; the stricter wish of a pair counts. */
  readonly mode: NetworkMode;
  /** Host of the control plane as this agent dials it: where the control plane's node is reached from outside of its network. */
  readonly serverHost?: string;
  /** Marks the routes that are ours (`ip route ... proto N`); must differ between agents in one network namespace. */
  readonly routeProtocol: number;
  /** How often to look whether all is still there, beside what the kernel tells. */
  readonly checkIntervalMs: number;
}

export const networkModes = ['auto', 'routes', 'vxlan', 'wireguard'] as const;
export type NetworkMode = (typeof networkModes)[number];

/** What a host tells the others of itself, as the annotation `cleat.dev/network` of its Node. */
export interface HostFacts {
  readonly mode: NetworkMode;
  /** Its addresses with the lengths of their prefixes: what shares one is on the same link. */
  readonly links: readonly string[];
  /** The link-local IPv6 address of the link that its node address is on. */
  readonly linkLocal?: string;
  /** Null: this host has no WireGuard. Absent: not looked for, because no peer needed it. */
  readonly wireguard?: WireguardFacts | null;
}

export interface WireguardFacts {
  readonly key: string;
  readonly port: number;
}

/** A node as far as the network between hosts goes. */
export interface Member {
  readonly nodeName: string;
  readonly podCidrs: readonly string[];
  readonly addresses: readonly string[];
  /** Absent until its agent has told. */
  readonly facts?: HostFacts;
  /** Where the control plane sees its connection come from; absent until it has connected. */
  readonly seenAt?: string;
}

/** How this host reaches one other. */
export interface PeerPlan {
  readonly nodeName: string;
  readonly podCidrs: readonly string[];
  readonly how: 'routes' | 'vxlan' | 'wireguard' | 'relay' | 'none';
  /** In words, for people; always set where `how` is `none`. */
  readonly why: string;
  /** `routes`: where to send to, by family of the range; `vxlan`: the other end of the tunnel. */
  readonly via: readonly string[];
  /** `routes`: the interface for a link-local address in `via`. */
  readonly device?: string;
  /** `wireguard`: its key, and where it listens if that can be known. */
  readonly key?: string;
  readonly endpoint?: string;
  /** `relay`: the node that hands packets on. */
  readonly relay?: string;
  /** It depends on whether this host has WireGuard, which is not known yet. */
  readonly undecided?: true;
}

/** One route of ours: through a peer, or straight out of an interface. */
export interface Route {
  readonly destination: string;
  readonly via?: string;
  readonly device?: string;
  /** The gateway need not be on a range of the interface. */
  readonly onlink?: boolean;
  /** What this host itself sends from. */
  readonly source?: string;
  /** Largest packet, where that is less than the interface takes. */
  readonly mtu?: number;
}

/** What `cleat net` shows of one host. */
export interface NetworkStatus {
  readonly node: string;
  /** The CNI configuration that pods get their network from, when it is somebody else's. */
  readonly foreign?: string;
  readonly peers: readonly PeerStatus[];
}

export interface PeerStatus {
  readonly node: string;
  readonly how: string;
  readonly why: string;
  /** Largest packet that reaches the peer; 0 while not known. */
  readonly mtu: number;
  /** Undefined: never. */
  readonly seenAgoMs?: number;
  readonly rttMs?: number;
  readonly problem?: string;
}

/** One finding of `cleat net check`: packets of `bytes` from this host to another. */
export interface CheckResult {
  readonly to: string;
  readonly protocol: 'UDP' | 'TCP';
  readonly bytes: number;
  readonly problem?: string;
  /** Where no answer came: whether the other host's own packets reached this one meanwhile. Shows which direction it is that fails. */
  readonly heard?: boolean;
}
