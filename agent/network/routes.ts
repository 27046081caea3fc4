import { isIPv6 } from 'node:net';
import { baseOf } from './plan.ts';
import type { PeerPlan, Route } from './types.ts';

export const tunnelDevices = { vxlan: 'cleat-vxlan', vxlan6: 'cleat-vxlan6', wireguard: 'cleat-wg' } as const;

export interface RoutesConfig {
  /** This host's own end on the pods' network, by family. */
  readonly bases: { readonly ipv4?: string; readonly ipv6?: string };
  /** The interface that link-local gateways are on. */
  readonly uplink?: string;
  /** Largest packet to each peer, where it was found to be less than the interface takes. */
  readonly mtus?: ReadonlyMap<string, number>;
}

/** The routes that the plans come to. */
export function peerRoutes(plans: readonly PeerPlan[], config: RoutesConfig): Route[] {
  return plans.flatMap((plan) => plan.podCidrs.flatMap((destination, i): Route[] => {
    const v6 = destination.includes(':');
    const mtu = config.mtus?.get(plan.nodeName);
    const source = v6 ? config.bases.ipv6 : config.bases.ipv4;
    const more = { ...(mtu !== undefined && { mtu }), ...(source !== undefined && { source }) };
    switch (plan.how) {
      case 'routes': {
        const via = plan.via[i] ?? '';
        // The host sends from its own address there, as it does to the other host itself.
        return [{ destination, via, ...(/^fe80/i.test(via) && config.uplink !== undefined && { device: config.uplink }), ...(mtu !== undefined && { mtu }) }];
      }
      case 'vxlan': return [{ destination, via: baseOf(destination), device: isIPv6(plan.via[0] ?? '') ? tunnelDevices.vxlan6 : tunnelDevices.vxlan, onlink: true, ...more }];
      case 'wireguard':
      case 'relay': return [{ destination, device: tunnelDevices.wireguard, ...more }];
      case 'none': return [];
    }
  }));
}

interface ShownRoute { readonly dst?: unknown; readonly gateway?: unknown; readonly dev?: unknown; readonly flags?: unknown; readonly prefsrc?: unknown; readonly metrics?: unknown }

/** Reads `ip -j -d route show`; entries of another shape are skipped. A single address comes without its length. */
export function parseRoutes(json: string): Route[] {
  if (json.trim() === '') return [];
  return (JSON.parse(json) as ShownRoute[]).flatMap(({ dst, gateway, dev, flags, prefsrc, metrics }) => {
    if (typeof dst !== 'string') return [];
    const destination = dst.includes('/') || dst === 'default' ? dst : `${dst}/${dst.includes(':') ? '128' : '32'}`;
    const mtu: unknown = Array.isArray(metrics) ? (metrics[0] as { mtu?: unknown } | undefined)?.mtu : undefined;
    return [{
      destination, ...(typeof gateway === 'string' && { via: gateway }), ...(typeof dev === 'string' && { device: dev }),
      ...(Array.isArray(flags) && flags.includes('onlink') && { onlink: true }), ...(typeof prefsrc === 'string' && { source: prefsrc }), ...(typeof mtu === 'number' && { mtu }),
    }];
  });
}

/** The kernel's flag of a route that refuses. */
const rejects = 0x0200;

/** Whether `/proc/net/route`, or `/proc/net/ipv6_route`, has a default route that leads somewhere. */
export function hasDefaultRoute(table: string, family: 4 | 6): boolean {
  return table.split('\n').some((line) => {
    const words = line.trim().split(/\s+/);
    const [destination, mask, flags] = family === 4 ? [words[1], words[7], words[3]] : [words[0], words[1], words[8]];
    return /^0+$/.test(destination ?? '') && /^0+$/.test(mask ?? '') && flags !== undefined && (parseInt(flags, 16) & rejects) === 0;
  });
}

/** `ip -batch` lines that lead from `actual` (our routes only) to `desired`; empty when nothing is to do. */
export function routeCommands(desired: readonly Route[], actual: readonly Route[], protocol: number): string[] {
  const matches = (want: Route, have: Route): boolean =>
    want.destination === have.destination && want.via === have.via && want.mtu === have.mtu && want.source === have.source
    && (want.device === undefined || want.device === have.device);
  const missing = desired.filter((want) => !actual.some((have) => matches(want, have)));
  const stale = actual.filter((have) => !desired.some((want) => want.destination === have.destination));
  return [
    ...stale.map((r) => `route del ${r.destination} proto ${String(protocol)}`),
    // An IPv6 route of another interface would stand beside the new one instead of making room for it.
    ...missing.flatMap((r) => [
      ...actual.filter((have) => have.destination === r.destination && r.destination.includes(':')).map(() => `route del ${r.destination} proto ${String(protocol)}`),
      `route replace ${r.destination}${words(r)} proto ${String(protocol)}`,
    ]),
  ];
}

function words({ via, device, source, mtu, onlink }: Route): string {
  const parts = [
    ...(via === undefined ? [] : ['via', via]), ...(device === undefined ? [] : ['dev', device]), ...(source === undefined ? [] : ['src', source]),
    ...(mtu === undefined ? [] : ['mtu', String(mtu)]), ...(onlink === true ? ['onlink'] : []),
  ];
  return parts.map((part) => ` ${part}`).join('');
}
