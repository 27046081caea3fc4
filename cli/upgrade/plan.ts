import { whyNotUpgraded, type UpgradedBy } from '#common/upgraded-by.ts';

/** A host as the plan sees it. */
export interface Host {
  readonly name: string;
  readonly address: string;
  readonly architecture: string;
  readonly version: string;
  readonly ready: boolean;
  readonly upgradedBy?: UpgradedBy;
}

export interface Plan {
  /** Hosts that are upgraded together, in order. */
  readonly waves: readonly (readonly Host[])[];
  /** Those that are left out, with why. */
  readonly skipped: readonly { readonly host: Host; readonly why: string }[];
}

export interface PlanOptions {
  readonly version: string;
  readonly architectures: ReadonlySet<string>;
  /** Address of the control plane. */
  readonly controlPlane: string;
  /** Only the hosts of the first wave behind the control plane's, this many. */
  readonly canary: number | undefined;
  /** Only these; all when empty. */
  readonly only: readonly string[];
}

/** The most of a fleet that is upgraded at once. */
const largestShare = 4;

/**
 * The control plane's host goes first: a control plane knows older agents, which need not know a newer one. Then one host, and if that
 * is well twice as many as before, up to a quarter of all. Hosts that cannot be upgraded now are left for the next time.
 */
export function planUpgrade(hosts: readonly Host[], { version, architectures, controlPlane, canary, only }: PlanOptions): Plan {
  const skipped: { host: Host; why: string }[] = [];
  const due = hosts.filter((host) => {
    if (only.length > 0 && !only.includes(host.name)) return false;
    const { upgradedBy = 'cleat' } = host;
    const why = host.version === version ? `it has ${version}` : upgradedBy !== 'cleat' ? whyNotUpgraded[upgradedBy] : !architectures.has(host.architecture) ? `the release has no executable for ${host.architecture}` : host.ready ? undefined : 'it is not Ready; run this again when it is';
    if (why !== undefined) skipped.push({ host, why });
    return why === undefined;
  }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const first = due.filter(({ address }) => address === controlPlane);
  const rest = due.filter(({ address }) => address !== controlPlane);
  const waves: Host[][] = first.length > 0 ? [first] : [];
  const most = Math.max(1, Math.floor(hosts.length / largestShare));
  for (let at = 0, size = canary ?? 1; at < rest.length; at += size, size = Math.min(most, size * 2)) {
    if (at > 0 && canary !== undefined) {
      skipped.push(...rest.slice(at).map((host) => ({ host, why: 'it is no canary' })));
      break;
    }
    waves.push(rest.slice(at, at + size));
  }
  return { waves, skipped };
}

/** Cleat's own version out of a node's kubeletVersion; what it says where there is none. */
export function versionOf(kubeletVersion: string): string {
  return /\+cleat\.(.+)$/.exec(kubeletVersion)?.[1] ?? kubeletVersion;
}
