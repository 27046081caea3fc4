import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node } from '#api/gen/types.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import type { LabProcess } from '#test/support/lab/process.ts';

const harness = join(import.meta.dirname, '../../test/support/lab/pod-network-process.ts');

describe('pod network', () => {
  let lab: Lab;
  const processes: LabProcess[] = [];
  let file = '';

  const node = (i: number, change: { podCidr?: string; address?: string } = {}): Node => ({
    metadata: { name: `host${String(i)}` },
    spec: { podCIDR: change.podCidr ?? `10.42.${String(i)}.0/24` },
    status: { addresses: [{ type: 'InternalIP', address: change.address ?? lab.host(i).address }] },
  });
  const publish = async (nodes: readonly Node[]): Promise<void> => {
    writeFileSync(file, JSON.stringify(nodes));
    for (const p of processes) process.kill(await p.pid(), 'SIGHUP');
  };
  const start = async (i: number): Promise<void> => {
    const p = lab.host(i).spawn('pod-network', 'node', [harness, `host${String(i)}`, lab.host(i).stateDirectory, file]);
    await p.waitForOutput('"msg":"ready"');
    processes.push(p);
  };
  const cni = async (host: LabHost, command: 'ADD' | 'DEL', name: string): Promise<void> => {
    const list = JSON.parse(readFileSync(join(host.stateDirectory, 'cni/net.d/10-cleat.conflist'), 'utf8')) as { cniVersion: string; name: string; plugins: object[] };
    if (command === 'ADD') await host.execOk('ip', ['netns', 'add', name]);
    await host.execOk('/usr/lib/cni/ptp', [], {
      input: JSON.stringify({ cniVersion: list.cniVersion, name: list.name, ...list.plugins[0] }),
      env: { CNI_COMMAND: command, CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}`, CNI_IFNAME: 'eth0', CNI_PATH: '/usr/lib/cni' },
    });
  };
  const reaches = async (host: LabHost, pod: string, address: string): Promise<boolean> =>
    (await host.exec('ip', ['netns', 'exec', pod, 'busybox', 'ping', '-c1', '-W1', address])).exitCode === 0;
  const routes = async (host: LabHost): Promise<string> => (await host.execOk('ip', ['route', 'show', 'proto', '142'])).trim();

  beforeAll(async () => {
    lab = await createLab({ hosts: 2 });
    // A namespace begins as the machine is.
    for (const host of lab.hosts) await host.sh('echo 0 > /proc/sys/net/ipv4/ip_forward');
    file = join(lab.directory, 'nodes.json');
    writeFileSync(file, JSON.stringify([node(0), node(1)]));
    await Promise.all([start(0), start(1)]);
  });
  afterAll(async () => { await lab.destroy(); });

  it('connects pods of one host and of two, with their own addresses', async () => {
    for (const [host, pod] of [[lab.host(0), 'a'], [lab.host(0), 'b'], [lab.host(1), 'c']] as const) await cni(host, 'ADD', pod);
    expect(await lab.host(0).execOk('ip', ['netns', 'exec', 'a', 'ip', '-o', '-4', 'addr', 'show', 'eth0'])).toContain('10.42.0.2/');
    expect(await reaches(lab.host(0), 'a', '10.42.0.3')).toBe(true);
    // Pods may start before the way to other hosts is there.
    await eventually(() => reaches(lab.host(0), 'a', '10.42.1.2'), { what: 'a pod of the other host' });
    await eventually(() => reaches(lab.host(1), 'c', '10.42.0.3'), { what: 'the way back' });
    expect(await reaches(lab.host(1), 'c', lab.host(0).address)).toBe(true);
  });

  it('records forwarding in the ledger before it turns it on', async () => {
    const ledger = readFileSync(join(lab.host(0).stateDirectory, 'ledger.jsonl'), 'utf8');
    expect(ledger).toContain('"kind":"sysctl","target":"net.ipv4.ip_forward","before":"0","after":"1"');
    expect(await lab.host(0).sh('cat /proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  });

  it('follows a peer that moves, comes and goes, and leaves foreign routes alone', async () => {
    const host = lab.host(0);
    await host.execOk('ip', ['route', 'add', '192.0.2.0/24', 'via', lab.host(1).address]);
    await publish([node(0), node(1, { podCidr: '10.42.7.0/24' }), { ...node(1, { podCidr: '10.42.9.0/24' }), metadata: { name: 'host9' } }]);
    await eventually(async () => (await routes(host)).includes('10.42.9.0/24'), { what: 'the new peer\'s route' });
    expect(await routes(host)).not.toContain('10.42.1.0/24');
    await publish([node(0), node(1)]);
    await eventually(async () => (await routes(host)) === `10.42.1.0/24 via ${lab.host(1).address} dev eth0`, { what: 'the route back' });
    expect(await host.execOk('ip', ['route', 'show', '192.0.2.0/24'])).toContain(lab.host(1).address);
  });

  it('puts back routes that a link took along', async () => {
    const host = lab.host(0);
    await host.execOk('ip', ['route', 'flush', 'proto', '142']);
    await eventually(async () => (await routes(host)).includes('10.42.1.0/24'), { what: 'the route to come back' });
    expect(await reaches(host, 'a', '10.42.1.2')).toBe(true);
  });

  it('sends to ClusterIPs also without a default route', async () => {
    const host = lab.host(0);
    await host.execOk('ip', ['route', 'del', 'default']);
    await eventually(async () => (await routes(host)).includes('10.43.0.0/16 dev eth0'), { what: 'the service route' });
  });
});
