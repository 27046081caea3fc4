import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { ask, serve } from '#test/support/lab/pod-namespaces.ts';
import type { LabProcess } from '#test/support/lab/process.ts';

const root = join(import.meta.dirname, '../..');
const ip = '10.88.0.200';

/** Three hosts of a cluster and one client on a link; each host answers at all of its addresses with its name. */
describe('addresses of a pool, on a link', () => {
  let lab: Lab;
  let file: string;
  let hosts: readonly LabHost[];
  let client: LabHost;
  const agents = new Map<string, LabProcess>();
  let watch: LabProcess;

  const describeCluster = async (local?: readonly string[]): Promise<void> => {
    writeFileSync(file, JSON.stringify({
      nodes: hosts.map(({ name, address }) => ({ metadata: { name }, status: { addresses: [{ type: 'InternalIP', address }] } })),
      services: [{ metadata: { namespace: 'default', name: 'web' }, spec: { type: 'LoadBalancer', externalTrafficPolicy: local ? 'Local' : 'Cluster' }, status: { loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } } }],
      slices: [{ metadata: { namespace: 'default', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } }, endpoints: (local ?? []).map((nodeName) => ({ addresses: ['10.42.0.1'], nodeName })) }],
      secrets: [{ metadata: { namespace: 'kube-system', name: 'cleat-load-balancer' }, data: { pool: Buffer.from('10.88.0.200-10.88.0.210').toString('base64'), key: Buffer.from('0123456789abcdef').toString('base64') } }],
    }));
    for (const agent of agents.values()) process.kill(await agent.pid(), 'SIGHUP');
  };
  const startAgent = async (host: LabHost): Promise<void> => {
    const agent = host.spawn('speaker', 'node', [join(root, 'test/support/lab/load-balancer-process.ts'), host.name, '/var/lib/cleat', file], { cwd: root });
    agents.set(host.name, agent);
    await agent.waitForOutput('started');
  };
  const bootHost = async (host: LabHost): Promise<void> => {
    await serve(host, host.name, 8080);
    await startAgent(host);
  };
  const has = async (host: LabHost): Promise<boolean> => host.running && (await host.execOk('ip', ['address', 'show', 'dev', 'lo'])).includes(`${ip}/32`);
  const holders = async (): Promise<string[]> => (await Promise.all(hosts.map(async (host) => (await has(host) ? [host.name] : [])))).flat();
  const soleHolder = async (what: string): Promise<LabHost> => {
    let found: readonly string[] = [];
    await eventually(async () => { found = await holders(); return found.length === 1; }, { what, timeoutMs: 30_000, explain: () => [...agents.values()].map((agent) => agent.output()).join('\n') });
    return lab.host(Number(found[0]?.slice(4)));
  };
  /** What the client has heard since a time: by whom, and the longest silence in milliseconds. */
  const heard = (sinceMs = 0): { readonly last: string; readonly lastMs: number; readonly longestMs: number; readonly count: number } => {
    const lines = watch.output().split('\n').flatMap((line) => { const found = /^(\d+) (host\d)/.exec(line); return found ? [[Number(found[1]), found[2] ?? ''] as const] : []; }).filter(([at]) => at >= sinceMs);
    return { last: lines.at(-1)?.[1] ?? '', lastMs: lines.at(-1)?.[0] ?? 0, longestMs: Math.max(0, ...lines.map(([at], i) => at - (lines[i - 1]?.[0] ?? at))), count: lines.length };
  };

  beforeAll(async () => {
    lab = await createLab({ hosts: 4 });
    hosts = [lab.host(0), lab.host(1), lab.host(2)];
    client = lab.host(3);
    file = join(lab.directory, 'objects.json');
    await describeCluster();
    await Promise.all(hosts.map(bootHost));
    watch = client.spawn('watch', 'node', [join(root, 'test/support/lab/net-probe.ts'), 'watch', ip, '8080']);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('are answered for by one host, with the client\'s address kept', async () => {
    const holder = await soleHolder('one host has the address');
    await eventually(() => heard().last === holder.name, { what: 'answers', explain: () => watch.output().slice(-500) });
    expect(await ask(client, undefined, ip, 8080)).toBe(`${holder.name} ${client.address}`);
  });

  it('stay where they are while an agent restarts', async () => {
    const holder = await soleHolder('one host has the address');
    const since = heard().lastMs;
    await agents.get(holder.name)?.kill('SIGTERM');
    await startAgent(holder);
    const { count } = heard(since);
    await eventually(() => heard(since).count > count + 100, { what: 'answers for two seconds more' });
    expect(await holders()).toEqual([holder.name]);
    expect(heard(since).longestMs).toBeLessThan(1000);
  });

  it('are taken over when their host is lost, and stay there when it is back', async ({ annotate }) => {
    const lost = await soleHolder('one host has the address');
    const since = heard().lastMs;
    await lost.crash();
    await eventually(() => !['', lost.name].includes(heard(since).last), { what: 'another host answers', timeoutMs: 30_000 });
    const { longestMs, last } = heard(since);
    await annotate(`no answers for ${String(longestMs)} ms`);
    expect(longestMs).toBeLessThan(10_000);
    await lost.boot();
    await bootHost(lost);
    const { count } = heard(since);
    await eventually(() => heard(since).count > count + 150, { what: 'answers for three seconds more' });
    expect([await holders(), heard(since).last]).toEqual([[last], last]);
  });

  it('are taken over when only the agent is lost, and forgotten by its kernel', async () => {
    const holder = await soleHolder('one host has the address');
    await agents.get(holder.name)?.kill('SIGKILL');
    await eventually(async () => (await holders()).some((name) => name !== holder.name), { what: 'another host takes it', timeoutMs: 30_000 });
    const next = await soleHolder('the kernel forgets it');
    expect(next.name).not.toBe(holder.name);
    await startAgent(holder);
  });

  it('have two holders no longer than these do not hear each other', async () => {
    const holder = await soleHolder('one host has the address');
    await holder.sh('nft add table inet cut; nft add chain inet cut in "{ type filter hook input priority -300; }"; nft add rule inet cut in udp dport 6443 drop; nft add chain inet cut out "{ type filter hook output priority -300; }"; nft add rule inet cut out udp dport 6443 drop');
    await eventually(async () => (await holders()).length === 2, { what: 'two holders', timeoutMs: 30_000 });
    await holder.execOk('nft', ['delete', 'table', 'inet', 'cut']);
    await soleHolder('one of them gives way');
  });

  it('go to a host with an endpoint where traffic is to stay on the host', async () => {
    const holder = await soleHolder('one host has the address');
    for (const name of hosts.map((host) => host.name).filter((each) => each !== holder.name)) {
      await describeCluster([name]);
      await eventually(async () => (await holders()).join() === name, { what: `${name} has it`, timeoutMs: 30_000 });
    }
    await eventually(() => heard().last === hosts.map(({ name }) => name).filter((each) => each !== holder.name).at(-1), { what: 'answers from there' });
  });

  it('are left alone when somebody else on the link has them', async () => {
    await describeCluster([]);
    await eventually(async () => (await holders()).length === 0, { what: 'nobody has it', timeoutMs: 30_000 });
    await watch.kill('SIGKILL');
    await client.execOk('ip', ['address', 'add', `${ip}/32`, 'dev', 'lo']);
    // Those who have held it know where it was; one that begins anew does not.
    for (const agent of agents.values()) await agent.kill('SIGKILL');
    agents.clear();
    await startAgent(lab.host(0));
    await describeCluster(['host0']);
    await eventually(() => agents.get('host0')?.output().includes('LoadBalancerAddressNotServed') === true, { what: 'an Event', timeoutMs: 30_000, explain: () => agents.get('host0')?.output() ?? '' });
    expect(await has(lab.host(0))).toBe(false);
  });
});
