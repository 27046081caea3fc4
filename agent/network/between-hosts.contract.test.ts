import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node } from '#api/gen/types.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import type { LabProcess } from '#test/support/lab/process.ts';
import type { CheckResult, NetworkStatus } from './types.ts';

const harness = join(import.meta.dirname, '../../test/support/lab/pod-network-process.ts');

/** Hosts 0 and 2 share a link, host 1 is behind a router: no WireGuard here, so that pair speaks VXLAN. */
describe('the network between hosts', () => {
  let lab: Lab;
  let file = '';
  const processes: LabProcess[] = [];
  const addresses: string[] = [];

  const told = (i: number): Record<string, string> => {
    const path = `${file}.host${String(i)}`;
    return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) as Record<string, string> : {};
  };
  /** What the control plane does: hands every node's word on to all. */
  const publish = async (gone?: number): Promise<void> => {
    const nodes: Node[] = addresses.map((address, i): Node => ({
      metadata: { name: `host${String(i)}`, annotations: told(i) }, spec: { podCIDRs: [`10.42.${String(i)}.0/24`, `fd42:0:0:${String(i)}::/64`] },
      status: { addresses: [{ type: 'InternalIP', address }] },
    })).filter((_node, i) => i !== gone);
    const text = JSON.stringify(nodes);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
    for (const p of processes) process.kill(await p.pid(), 'SIGHUP');
  };
  const line = async <T>(i: number, signal: 'SIGUSR1' | 'SIGUSR2', msg: string): Promise<T> => {
    const p = processes[i];
    if (!p) throw new Error('no such process');
    const before = p.output().length;
    process.kill(await p.pid(), signal);
    const found = await eventually(() => p.output().slice(before).split('\n').find((text) => text.endsWith('}') && text.includes(`"msg":"${msg}"`)), { what: msg, timeoutMs: 60_000 });
    return JSON.parse(found) as T;
  };
  const status = (i: number): Promise<NetworkStatus> => line(i, 'SIGUSR1', 'status');
  const check = async (i: number): Promise<CheckResult[]> => (await line<{ findings: CheckResult[] }>(i, 'SIGUSR2', 'checked')).findings;
  const seen = async (i: number, expected: object): Promise<void> => {
    await eventually(async () => { await publish(); expect((await status(i)).peers).toMatchObject(expected); return true; }, { what: `host ${String(i)} to reach its peers so`, timeoutMs: 40_000, intervalMs: 200, explain: () => processes[i]?.output().slice(-3000) ?? '' });
  };
  const cni = async (host: LabHost, name: string): Promise<void> => {
    const list = JSON.parse(readFileSync(join(host.stateDirectory, 'cni/net.d/10-cleat.conflist'), 'utf8')) as { cniVersion: string; name: string; plugins: object[] };
    await host.execOk('ip', ['netns', 'add', name]);
    await host.execOk('/usr/lib/cni/ptp', [], {
      input: JSON.stringify({ cniVersion: list.cniVersion, name: list.name, ...list.plugins[0] }),
      env: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}`, CNI_IFNAME: 'eth0', CNI_PATH: '/usr/lib/cni' },
    });
  };
  /** A server of 300 KB in the pod, and what another pod gets of it. */
  const serve = async (host: LabHost, pod: string): Promise<void> => {
    await host.sh(`head -c 300000 /dev/zero > /run/${pod}.bin; setsid ip netns exec ${pod} busybox nc -ll -p 9000 -e cat /run/${pod}.bin >/dev/null 2>&1 &`);
  };
  const fetched = async (host: LabHost, pod: string, address: string): Promise<number> =>
    Number((await host.exec('ip', ['netns', 'exec', pod, 'node', '-e', `let n = 0; const end = () => { console.log(n); process.exit(); }; require('net').connect(9000, '${address}').on('error', end).on('data', (d) => { if ((n += d.length) >= 300000) end(); }); setTimeout(end, 2000)`])).stdout.trim());

  beforeAll(async () => {
    lab = await createLab({ hosts: 3, links: 2 });
    file = join(lab.directory, 'nodes.json');
    addresses.push(...lab.hosts.map((host) => host.address));
    await publish();
    for (const [i, host] of lab.hosts.entries()) processes.push(host.spawn('pod-network', 'node', [harness, `host${String(i)}`, host.stateDirectory, file]));
    for (const p of processes) await p.waitForOutput('"msg":"ready"');
  });
  afterAll(async () => { await lab.destroy(); });

  it('is plain routes on one link and VXLAN beyond a router, and each host says so', async () => {
    await seen(0, [{ node: 'host1', how: 'vxlan', why: 'no shared link', mtu: 1450 }, { node: 'host2', how: 'routes', why: 'on the same link', mtu: 1500 }]);
    await seen(1, [{ node: 'host0', how: 'vxlan', mtu: 1450 }, { node: 'host2', how: 'vxlan', mtu: 1450 }]);
    await eventually(async () => (await status(0)).peers.every((peer) => peer.seenAgoMs !== undefined && peer.problem === undefined), { what: 'all peers to answer', timeoutMs: 20_000 });
    expect(await lab.host(0).execOk('ip', ['route', 'show', 'proto', '142'])).toContain('10.42.1.0/24 via 10.42.1.0 dev cleat-vxlan');
    expect(await lab.host(0).execOk('ethtool', ['-k', 'cleat-vxlan'])).toContain('tx-checksum-ip-generic: off');
  });

  it('carries pods\' packets in both families', async () => {
    for (const [i, host] of lab.hosts.entries()) {
      await cni(host, `pod${String(i)}`);
      await serve(host, `pod${String(i)}`);
    }
    const [host0, host1] = [lab.host(0), lab.host(1)];
    for (const address of ['10.42.1.2', '10.42.2.2', 'fd42:0:0:1::2', 'fd42:0:0:2::2']) {
      await eventually(async () => (await fetched(host0, 'pod0', address)) === 300_000, { what: `pod0 to reach ${address}`, timeoutMs: 20_000 });
    }
    expect(await fetched(host1, 'pod1', '10.42.2.2')).toBe(300_000);
    // A host's own packets find their way back, too.
    expect((await host0.exec('busybox', ['ping', '-c1', '-W2', '10.42.1.2'])).exitCode).toBe(0);
  });

  it('checks packets of full size, and names what does not arrive', async () => {
    expect((await check(0)).filter(({ problem }) => problem !== undefined)).toEqual([]);
    const router = lab.host(1);
    await router.sh('nft add table ip small; nft add chain ip small in "{ type filter hook input priority 0; }"; nft add rule ip small in udp dport 8472 meta length \\> 1342 drop');
    const found = (await check(0)).filter(({ problem }) => problem !== undefined);
    expect(found.find(({ protocol }) => protocol === 'UDP')).toMatchObject({ to: 'host1', bytes: 1450, problem: 'packets of 1450 bytes do not arrive; the largest that do have 1292' });
    expect(found.every(({ to }) => to === 'host1')).toBe(true);
    await router.execOk('nft', ['delete', 'table', 'ip', 'small']);
  });

  it('follows a host whose address changes, and finds the size that a narrower path takes', async () => {
    const host = lab.host(1);
    const moved = host.address.replace(/\d+$/, '77');
    const gateway = host.address.replace(/\d+$/, '1');
    await host.sh(`ip address del ${host.address}/24 dev eth0; ip address add ${moved}/24 dev eth0; ip link set eth0 mtu 1400; ip route replace default via ${gateway}`);
    await processes[1]?.waitForOutput('"msg":"moved"');
    addresses[1] = moved;
    await seen(0, [{ node: 'host1', how: 'vxlan' }, { node: 'host2', how: 'routes' }]);
    await eventually(async () => (await fetched(lab.host(0), 'pod0', '10.42.1.2')) === 300_000, { what: 'the pod on the host that moved', timeoutMs: 40_000, explain: () => processes[0]?.output().slice(-3000) ?? '' });
    expect(await lab.host(0).execOk('bridge', ['fdb', 'show', 'dev', 'cleat-vxlan'])).toContain(moved);
    // A virtual cable lets a VLAN's four bytes more through.
    await seen(0, [{ node: 'host1', mtu: 1354 }, { node: 'host2', mtu: 1500 }]);
    await eventually(async () => (await lab.host(0).execOk('ip', ['route', 'show', '10.42.1.0/24'])).includes('mtu 1354'), { what: 'the route to have the size' });
    expect(await lab.host(0).execOk('nft', ['list', 'table', 'inet', 'cleat-net'])).toContain('tcp option maxseg size set rt mtu');
    expect(await fetched(host, 'pod1', '10.42.0.2')).toBe(300_000);
    expect(await fetched(lab.host(0), 'pod0', 'fd42:0:0:1::2')).toBe(300_000);
  });

  it('takes the tunnel away when nobody is behind it any more', async () => {
    await publish(1);
    await eventually(async () => (await lab.host(0).exec('ip', ['link', 'show', 'cleat-vxlan'])).exitCode !== 0, { what: 'the vxlan device to go' });
    await eventually(async () => (await lab.host(0).exec('nft', ['list', 'table', 'inet', 'cleat-net'])).exitCode !== 0, { what: 'the limit of segments to go' });
  });
});
