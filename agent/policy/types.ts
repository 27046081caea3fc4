import type { IPBlock, NetworkPolicy } from '#api/gen/types.ts';
import type { NamedPort, PeerGroupSlice } from '#api/network-policy/peer-group.ts';

/** One of this host's pods that has addresses of its own. */
export interface LocalPod {
  readonly uid: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ips: readonly string[];
  readonly ports: readonly NamedPort[];
}

/** A pod that ends here though the control plane has forgotten it, with what it said of it last. */
export interface KeptPod {
  readonly pod: LocalPod;
  readonly policies: readonly NetworkPolicy[];
  readonly groups: readonly PeerGroupSlice[];
}

/** All that decides about the rules of this host. */
export interface PolicyView {
  readonly policies: readonly NetworkPolicy[];
  readonly groups: readonly PeerGroupSlice[];
  readonly pods: readonly LocalPod[];
  /** Held to the policies that there are now, and, of those that are not told any more, to what they said last. */
  readonly kept: readonly KeptPod[];
  /** Addresses of pods that still end here though nothing is known of them any more: they start no new connection. */
  readonly orphans: readonly string[];
}

export type Family = 4 | 6;

/** What a rule matches, where absent parts match everything, and what then happens. */
export interface Rule {
  /** Set wherever something of it is about addresses. */
  readonly family?: Family;
  readonly peer?: { readonly side: 'source' | 'destination' } & ({ readonly set: string } | { readonly block: IPBlock });
  /** In lower case. */
  readonly protocol?: string;
  /** The destination's. */
  readonly ports?: { readonly from: number; readonly to: number };
  /** A set that has the destination with protocol and port. */
  readonly endpoints?: string;
  readonly verdict: 'accept' | 'drop' | { readonly jump: string };
}

export interface SetType {
  readonly family: Family;
  readonly of: 'addresses' | 'endpoints';
}

/**
 * Part of the rules that changes as one: chains and sets of its own, and elements of its own or of
 * shared sets. An element is an address, an endpoint (`ADDRESS . PROTOCOL . PORT`), or in a map `ADDRESS : goto CHAIN`. The same
 * part is the same object as long as nothing of it changes.
 */
export interface Piece {
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  readonly sets: ReadonlyMap<string, SetType>;
  readonly elements: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Pieces by name. */
export type Ruleset = ReadonlyMap<string, Piece>;

/** Makes the kernel keep to a ruleset. Touches only what it made itself. */
export interface PolicyBackend {
  /** Why this host cannot use it, with the remedy; undefined when it can. */
  unusable(signal: AbortSignal): Promise<string | undefined>;
  /** Puts the ruleset in the place of whatever is there, at once. */
  replace(rules: Ruleset, signal: AbortSignal): Promise<void>;
  /** Leads from what was applied last to this, at once and at the cost of the difference. Rejects when the kernel's state is another; then `replace`. */
  apply(rules: Ruleset, signal: AbortSignal): Promise<void>;
  /** A cheap look: false when another program removed the rules. */
  intact(signal: AbortSignal): Promise<boolean>;
  /** Removes all of it. Idempotent. */
  cleanup(signal: AbortSignal): Promise<void>;
}
