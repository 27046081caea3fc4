/** What is known of a node when a push begins. */
export interface PlannedNode {
  readonly name: string;
  /** Digests that it needs. */
  readonly missing: Iterable<string>;
  /** Digests that others can fetch from it now; so can they what it gets. */
  readonly shared: Iterable<string>;
  /** Whether others can fetch from it at all. */
  readonly serves: boolean;
  /** The NAT that it stands behind; empty for none. */
  readonly site: string;
}

/** What a node is to do next. */
export type Step =
  /** Take a blob from this machine. */
  | { readonly do: 'put'; readonly digest: string }
  | { readonly do: 'fetch'; readonly digest: string; readonly from: string }
  /** Ask again when another node has settled. */
  | { readonly do: 'wait' }
  | { readonly do: 'done' }
  /** Nobody that it can reach has what it needs. */
  | { readonly do: 'stuck'; readonly digest: string };

/** `done`, or `failed`: the peer gave nothing; `unreachable`: nor will others behind the same NAT. */
export type Outcome = 'done' | 'failed' | 'unreachable';

export interface PushPlanConfig {
  /** False when this machine has no blobs. */
  readonly canPut: boolean;
  /** Blobs that leave this machine at the same time. */
  readonly maxPuts: number;
  /** Nodes that fetch from one at the same time. */
  readonly maxServed: number;
}

export const pushPlanDefaults = { maxPuts: 2, maxServed: 3 } as const;

interface State {
  readonly missing: Set<string>;
  readonly shared: Set<string>;
  serves: boolean;
  readonly site: string;
  readonly avoids: Set<string>;
  serving: number;
  step: Step;
}

/**
 * Who gets which blob from whom. Each leaves this machine once, for one node that nobody within its reach can give it
 * to, and goes on from node to node. Pure: `next` and `settle` are called as things happen, and whoever waits has
 * something to wait for.
 */
export class PushPlan {
  readonly #nodes = new Map<string, State>();
  readonly #config: PushPlanConfig;
  #puts = 0;

  constructor(nodes: readonly PlannedNode[], config: PushPlanConfig) {
    this.#config = config;
    for (const { name, missing, shared, serves, site } of nodes) this.#nodes.set(name, { missing: new Set(missing), shared: new Set(shared), serves, site, avoids: new Set(), serving: 0, step: { do: 'wait' } });
  }

  /** Of a node that does nothing at the moment. */
  next(name: string): Step {
    const node = this.#state(name);
    const step = this.#choose(name, node);
    node.step = step;
    if (step.do === 'put') this.#puts++;
    if (step.do === 'fetch') this.#state(step.from).serving++;
    return step;
  }

  /** How the step ended that `next` said last. */
  settle(name: string, outcome: Outcome): void {
    const node = this.#state(name);
    const { step } = node;
    node.step = { do: 'wait' };
    if (step.do === 'put') this.#puts--;
    if (step.do === 'fetch') this.#state(step.from).serving--;
    if (step.do !== 'put' && step.do !== 'fetch') return;
    if (outcome === 'done') {
      node.missing.delete(step.digest);
      node.shared.add(step.digest);
    } else if (step.do === 'fetch') {
      const { site } = this.#state(step.from);
      node.avoids.add(step.from);
      if (outcome === 'unreachable' && site !== node.site) for (const [other, state] of this.#nodes) if (state.site === site) node.avoids.add(other);
    }
  }

  /** The node takes part no more, and gives nothing. */
  lose(name: string): void {
    this.settle(name, 'failed');
    for (const [, state] of this.#nodes) state.avoids.add(name);
    this.#state(name).missing.clear();
  }

  /** A node that was lost is back, with what it has by now. */
  rejoin({ name, missing, shared, serves }: PlannedNode): void {
    const node = this.#state(name);
    node.serves = serves;
    for (const digest of missing) node.missing.add(digest);
    node.shared.clear();
    for (const digest of shared) node.shared.add(digest);
    for (const [, state] of this.#nodes) state.avoids.delete(name);
  }

  #choose(name: string, node: State): Step {
    const { canPut, maxPuts, maxServed } = this.#config;
    let put: string | undefined;
    let waits = false;
    let lacks: string | undefined;
    for (const digest of node.missing) {
      const peers = [...this.#nodes].filter(([other, state]) => other !== name && state.serves && !node.avoids.has(other) && (state.site === '' || state.site === node.site));
      const having = peers.filter(([, { shared }]) => shared.has(digest)).sort(([, a], [, b]) => a.serving - b.serving);
      const free = having.find(([, { serving }]) => serving < maxServed);
      if (free) return { do: 'fetch', digest, from: free[0] };
      if (having.length > 0 || peers.some(([, { step }]) => (step.do === 'put' || step.do === 'fetch') && step.digest === digest)) waits = true;
      else if (canPut) put ??= digest;
      // Whoever is about to get it from somebody this node cannot reach may hand it on.
      else if (peers.some(([, { missing }]) => missing.has(digest))) waits = true;
      else lacks ??= digest;
    }
    if (put !== undefined && this.#puts < maxPuts) return { do: 'put', digest: put };
    if (put !== undefined || (waits && this.#somebodyIsBusy(name))) return { do: 'wait' };
    if (lacks !== undefined || waits) return { do: 'stuck', digest: lacks ?? [...node.missing][0] ?? '' };
    return { do: 'done' };
  }

  #somebodyIsBusy(name: string): boolean {
    return [...this.#nodes].some(([other, { step }]) => other !== name && (step.do === 'put' || step.do === 'fetch'));
  }

  #state(name: string): State {
    const state = this.#nodes.get(name);
    if (!state) throw new Error(`no node ${name} in this push`);
    return state;
  }
}
