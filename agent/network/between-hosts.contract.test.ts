import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '#test/support/lab/eventually.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { NetworkHosts } from '#test/support/lab/network-hosts.ts';

/** Hosts 0 and 2 share a link, host 1 is behind a router: no WireGuard here, so that pair speaks VXLAN. */
describe('the network between hosts', () => {
  let lab: Lab;
  let hosts: NetworkHosts;

  beforeAll(async () => {
    lab = await createLab({ hosts: 3, links: 2 });
    hosts = new NetworkHosts(lab);
    await hosts.start();
    for (const i of [0, 1, 2]) await hosts.pod(i, `pod${String(i)}`);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('is plain routes on one link and VXLAN beyond a router, and each host says so', async () => {
    await hosts.sees(0, (peers) => {
      expect(peers).toMatchObject([{ node: 'host1', how: 'vxlan', why: 'no shared link', mtu: 1450 }, { node: 'host2', how: 'routes', why: 'on the same link', mtu: 1500 }]);
      for (const peer of peers) expect([peer.problem, typeof peer.seenAgoMs]).toEqual([undefined, 'number']);
    });
    await hosts.sees(1, (peers) => { expect(peers).toMatchObject([{ node: 'host0', how: 'vxlan', mtu: 1450 }, { node: 'host2', how: 'vxlan', mtu: 1450 }]); });
    expect(await lab.host(0).execOk('ip', ['route', 'show', 'proto', '142'])).toContain('10.42.1.0/24 via 10.42.1.0 dev cleat-vxlan');
    expect(await lab.host(0).execOk('ethtool', ['-k', 'cleat-vxlan'])).toContain('tx-checksum-ip-generic: off');
  });

  it('carries pods\' packets in both families', async () => {
    for (const address of ['10.42.1.2', '10.42.2.2', 'fd42:0:0:1::2', 'fd42:0:0:2::2']) await hosts.fetches(0, 'pod0', address);
    await hosts.fetches(1, 'pod1', '10.42.2.2');
    // A host's own packets find their way back, too.
    expect((await lab.host(0).exec('busybox', ['ping', '-c1', '-W2', '10.42.1.2'])).exitCode).toBe(0);
  });

  it('checks packets of full size, and names what does not arrive', async () => {
    expect((await hosts.check(0)).filter(({ problem }) => problem !== undefined)).toEqual([]);
    await lab.host(1).sh('nft add table ip small; nft add chain ip small in "{ type filter hook input priority 0; }"; nft add rule ip small in udp dport 8472 meta length \\> 1342 drop');
    const found = (await hosts.check(0)).filter(({ problem }) => problem !== undefined);
    expect(found.find(({ protocol }) => protocol === 'UDP')).toMatchObject({ to: 'host1', bytes: 1450, problem: 'packets of 1450 bytes do not arrive; the largest that do have 1292' });
    expect(found.every(({ to }) => to === 'host1')).toBe(true);
    await lab.host(1).execOk('nft', ['delete', 'table', 'ip', 'small']);
  });

  it('goes on as it is when agents start again', async () => {
    const index = async (i: number): Promise<string> => (await lab.host(i).execOk('ip', ['-o', 'link', 'show', 'cleat-vxlan'])).split(':')[0] ?? '';
    const before = [await index(0), await index(1)];
    await Promise.all([hosts.restart(0), hosts.restart(1)]);
    await hosts.sees(0, (peers) => { expect(peers).toMatchObject([{ node: 'host1', how: 'vxlan', mtu: 1450 }, { node: 'host2', how: 'routes' }]); });
    await hosts.fetches(0, 'pod0', '10.42.1.2');
    expect([await index(0), await index(1)]).toEqual(before);
  });

  it('follows a host whose address changes, and finds the size that a narrower path takes', async () => {
    const host = lab.host(1);
    const moved = host.address.replace(/\d+$/, '77');
    await host.sh(`ip address del ${host.address}/24 dev eth0; ip address add ${moved}/24 dev eth0; ip link set eth0 mtu 1400; ip route replace default via ${host.address.replace(/\d+$/, '1')}`);
    await hosts.process(1).waitForOutput('"msg":"moved"');
    hosts.addresses[1] = moved;
    // A virtual cable lets a VLAN's four bytes more through.
    await hosts.sees(0, (peers) => { expect(peers).toMatchObject([{ node: 'host1', how: 'vxlan', mtu: 1354 }, { node: 'host2', how: 'routes', mtu: 1500 }]); });
    await hosts.fetches(0, 'pod0', '10.42.1.2');
    expect(await lab.host(0).execOk('bridge', ['fdb', 'show', 'dev', 'cleat-vxlan'])).toContain(moved);
    await eventually(async () => (await lab.host(0).execOk('ip', ['route', 'show', '10.42.1.0/24'])).includes('mtu 1354'), { what: 'the route to have the size' });
    expect(await lab.host(0).execOk('nft', ['list', 'table', 'inet', 'cleat-net'])).toContain('tcp option maxseg size set rt mtu');
    await hosts.fetches(1, 'pod1', '10.42.0.2');
    await hosts.fetches(0, 'pod0', 'fd42:0:0:1::2');
  });

  it('takes the tunnel away when nobody is behind it any more', async () => {
    await hosts.publish(1);
    await eventually(async () => (await lab.host(0).exec('ip', ['link', 'show', 'cleat-vxlan'])).exitCode !== 0, { what: 'the vxlan device to go' });
    await eventually(async () => (await lab.host(0).exec('nft', ['list', 'table', 'inet', 'cleat-net'])).exitCode !== 0, { what: 'the limit of segments to go' });
  });
});
