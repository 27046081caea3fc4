/** An address of the pool, and the hosts that could serve it, those first that should. */
export interface Claimable {
  readonly ip: string;
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly order: readonly string[];
}

/** What another host has said last. */
export interface Peer {
  readonly node: string;
  /** Monotonic; until then its word counts. */
  readonly untilMs: number;
  /** It could serve now. */
  readonly able: boolean;
  readonly holds: ReadonlySet<string>;
}

export interface ElectionView {
  readonly me: string;
  readonly able: boolean;
  readonly nowMs: number;
  /** By address, from when on a candidate of which nothing was heard counts as lost: at first one has to listen. */
  readonly settledMs: ReadonlyMap<string, number>;
  readonly claimables: readonly Claimable[];
  readonly peers: ReadonlyMap<string, Peer>;
  /** Addresses that this host answers for. */
  readonly held: ReadonlySet<string>;
}

export interface Election {
  readonly claim: readonly Claimable[];
  readonly release: readonly string[];
  /** Monotonic; when to look again if nothing is heard until then; Infinity for never. */
  readonly againMs: number;
}

/** How many hosts watch an address: as many less one may be lost at the same time. */
const watchers = 4;

/**
 * Which addresses this host should answer for. Every host has another order of candidates for each address, so that
 * addresses are spread and all hosts agree without asking. Who holds an address keeps it as long as it can: it does not
 * go back when a host returns, which would end connections. Where two hold one, as after a partition, the one earlier in the order stays.
 */
export function elect(view: ElectionView): Election {
  const { me, nowMs, held, peers } = view;
  const claim: Claimable[] = [];
  const kept = new Set<string>();
  let againMs = Infinity;
  for (const claimable of view.claimables) {
    const { order, ip } = claimable;
    const untilMs = (node: string): number => peers.get(node)?.untilMs ?? view.settledMs.get(ip) ?? 0;
    const isLive = (node: string): boolean => untilMs(node) > nowMs;
    const mine = order.indexOf(me);
    if (mine < 0 || !view.able) continue;
    const rivals = order.filter((node) => node !== me && isLive(node) && peers.get(node)?.able === true && peers.get(node)?.holds.has(ip) === true);
    if (held.has(ip)) {
      if (!rivals.some((node) => order.indexOf(node) < mine)) kept.add(ip);
      continue;
    }
    // Of a host that is silent so far nobody knows whether it holds the address.
    const before = order.filter((node, i) => node !== me && isLive(node) && (peers.has(node) ? i < mine && peers.get(node)?.able === true : true));
    const waitFor = new Set([...rivals, ...before]);
    if (waitFor.size === 0) claim.push(claimable);
    for (const node of waitFor) againMs = Math.min(againMs, untilMs(node));
  }
  return { claim, release: [...held].filter((ip) => !kept.has(ip)), againMs };
}

/** Whom this host talks to: those that watch an address with it, and those that hold one that it watches. */
export function audience({ me, claimables, held, peers }: Pick<ElectionView, 'me' | 'claimables' | 'held' | 'peers'>): Set<string> {
  const found = new Set<string>();
  for (const claimable of claimables) {
    const watching = claimable.order.slice(0, watchers);
    if (!watching.includes(me) && !held.has(claimable.ip)) continue;
    for (const node of watching) found.add(node);
    for (const peer of peers.values()) if (peer.holds.has(claimable.ip)) found.add(peer.node);
  }
  found.delete(me);
  return found;
}
