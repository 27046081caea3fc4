import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { NetworkHosts } from '#test/support/lab/network-hosts.ts';

/** Host 0 can be reached by all; hosts 1 and 2 stand behind a NAT each, and nobody can call them. */
describe('WireGuard between hosts', () => {
  let lab: Lab;
  let hosts: NetworkHosts;

  beforeAll(async () => {
    lab = await createLab({ hosts: 3, links: 3 });
    const net = lab.host(0).address.replace(/\.\d+$/, '');
    const outside = (link: number): string => `${net}.${String(200 + link)}`;
    await lab.router(`ip address add ${outside(1)}/24 dev br0; ip address add ${outside(2)}/24 dev br0
      nft add table ip nat; nft add chain ip nat out '{ type nat hook postrouting priority 100; }'
      nft add chain ip nat forward '{ type filter hook forward priority 0; }'
      nft add rule ip nat out oifname br0 iifname br1 snat to ${outside(1)}; nft add rule ip nat out oifname br0 iifname br2 snat to ${outside(2)}
      nft add rule ip nat forward ct state established,related accept; nft add rule ip nat forward oifname '{ br1, br2 }' drop`);
    hosts = new NetworkHosts(lab);
    hosts.seenAt.push('127.0.0.1', outside(1), outside(2));
    await hosts.start();
    for (const i of [0, 1, 2]) await hosts.pod(i, `pod${String(i)}`);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('leads out of NAT, and between two NATs through the host that both can reach', async () => {
    await hosts.sees(1, (peers) => {
      expect(peers).toMatchObject([{ node: 'host0', how: 'wireguard' }, { node: 'host2', how: 'wireguard through host0' }]);
      for (const peer of peers) expect(peer.problem).toBeUndefined();
    });
    await hosts.sees(0, (peers) => { for (const peer of peers) expect([peer.how, peer.problem, peer.mtu]).toEqual(['wireguard', undefined, 1420]); });
    for (const address of ['10.42.0.2', 'fd42::2', '10.42.2.2', 'fd42:0:0:2::2']) await hosts.fetches(1, 'pod1', address);
    for (const address of ['10.42.1.2', 'fd42:0:0:1::2']) await hosts.fetches(0, 'pod0', address);
    await hosts.fetches(2, 'pod2', '10.42.1.2');
    expect((await hosts.check(1)).filter(({ problem }) => problem !== undefined)).toEqual([]);
  });

  it('learns where a host calls from when that changes', async () => {
    const host = lab.host(1);
    const moved = host.address.replace(/\d+$/, '77');
    await host.sh(`ip address del ${host.address}/24 dev eth0; ip address add ${moved}/24 dev eth0; ip route replace default via ${host.address.replace(/\d+$/, '1')}`);
    hosts.addresses[1] = moved;
    await hosts.publish();
    await hosts.fetches(1, 'pod1', '10.42.0.2');
    await hosts.fetches(0, 'pod0', '10.42.1.2');
  });

  it('keeps the private key on the host', async () => {
    expect(await lab.host(1).execOk('stat', ['-c', '%a', '/var/lib/cleat/agent/wireguard.key'])).toBe('600\n');
  });
});
