import { describe, expect, it } from 'vitest';
import type { PeerPlan } from './types.ts';
import { parseDump, peerArguments, publicKeyOf, wireguardPeers } from './wireguard.ts';

const plan = (nodeName: string, change: Partial<PeerPlan>): PeerPlan => ({ nodeName, podCidrs: [`10.42.${nodeName.slice(1)}.0/24`], how: 'wireguard', why: '', via: [], key: `key-${nodeName}`, ...change });
const none = new Map<string, string>();

describe('WireGuard', () => {
  it('sends what is relayed to the one that relays', () => {
    const plans = [plan('n1', { endpoint: '192.0.2.1:51871' }), plan('n2', { how: 'relay', relay: 'n1' }), plan('n3', { how: 'vxlan' }), plan('n4', { how: 'relay', relay: 'n9' })];
    expect(wireguardPeers(plans)).toEqual([{ key: 'key-n1', allowedIps: ['10.42.1.0/24', '10.42.2.0/24'], endpoint: '192.0.2.1:51871' }]);
  });

  it('changes only what differs, and takes away first', () => {
    const dump = 'priv\tpub\t51871\toff\nkey-a\t(none)\t192.0.2.1:51871\t10.42.1.0/24\t1000\t0\t0\t25\nkey-b\t(none)\t(none)\t(none)\t0\t0\t0\toff\n';
    const { listenPort, peers } = parseDump(dump);
    expect([listenPort, peers]).toEqual([51_871, [{ key: 'key-a', endpoint: '192.0.2.1:51871', allowedIps: ['10.42.1.0/24'], handshakeSeconds: 1000 }, { key: 'key-b', allowedIps: [], handshakeSeconds: 0 }]]);
    const a = { key: 'key-a', allowedIps: ['10.42.1.0/24'], endpoint: '192.0.2.1:51871' };
    expect(peerArguments([a], peers, none, 1010)).toEqual(['peer', 'key-b', 'remove']);
    expect(peerArguments([a, { key: 'key-c', allowedIps: ['10.42.3.0/24', 'fd42::/64'] }], peers.slice(0, 1), none, 1010)).toEqual(['peer', 'key-c', 'persistent-keepalive', '25', 'allowed-ips', '10.42.3.0/24,fd42::/64']);
    expect(parseDump('')).toEqual({ listenPort: 0, peers: [] });
  });

  it('leaves a peer where its handshakes come from, until it is said to be elsewhere or is silent', () => {
    const wanted = { key: 'a', allowedIps: ['10.42.1.0/24'], endpoint: '192.0.2.1:51871' };
    const roamed = { ...wanted, endpoint: '198.51.100.7:4000', handshakeSeconds: 1000 };
    expect(peerArguments([wanted], [roamed], none, 1010)).toEqual([]);
    expect(peerArguments([wanted], [roamed], new Map([['a', '192.0.2.1:51871']]), 1010)).toEqual([]);
    const moved = ['peer', 'a', 'endpoint', '192.0.2.1:51871', 'persistent-keepalive', '25', 'allowed-ips', '10.42.1.0/24'];
    expect(peerArguments([wanted], [roamed], new Map([['a', '203.0.113.3:51871']]), 1010)).toEqual(moved);
    expect(peerArguments([wanted], [roamed], none, 2000)).toEqual(moved);
  });

  it('works out public keys as wg does', () => {
    expect(publicKeyOf(Buffer.alloc(32, 1).toString('base64'))).toBe('pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=');
  });
});
