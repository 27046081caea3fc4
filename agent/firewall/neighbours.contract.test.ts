import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { addPod, ask, serve } from '#test/support/lab/pod-namespaces.ts';
import type { Exec } from '#common/exec.ts';
import { closeHook } from './hooks.ts';
import { FirewallNeighbours } from './neighbours.ts';

const [cidr, ip] = ['10.42.0.0/16', '10.42.0.2'];
const signal = new AbortController().signal;

/** `node` has a pod and another's firewall; `client` is a host outside. */
describe('the firewalls of others on a host', () => {
  let lab: Lab;
  let node: LabHost;
  let client: LabHost;
  let records: string[] = [];
  let events: string[] = [];
  let neighbours: FirewallNeighbours;

  const commands: string[] = [];
  const exec: Exec = (command, args, { env: _env, cwd: _cwd, ...options } = {}) => { commands.push(command); return node.exec(command, args, options); };
  const both = (): Promise<string[]> => Promise.all([ask(client, undefined, ip, 8080), ask(node, 'a', client.address, 8080), ask(node, 'a', node.address, 7070)]);
  const open = [`a ${'CLIENT'}`, `client ${ip}`, `node ${ip}`];
  const expected = (): string[] => open.map((answer) => answer.replace('CLIENT', client.address));
  // Counters aside.
  const rules = async (): Promise<string[]> => (await node.execOk('iptables-save', [])).split('\n').filter((line) => !line.startsWith('#')).map((line) => line.replace(/\[\d+:\d+\]/, ''));
  const foreign = async (): Promise<string[]> => (await rules()).filter((line) => !line.includes('CLEATHOOK') && !line.includes(cidr));

  beforeAll(async () => {
    lab = await createLab({ hosts: 2 });
    [node, client] = [lab.host(0), lab.host(1)];
    await addPod(node, 'a', ip);
    await client.execOk('ip', ['route', 'add', '10.42.0.0/24', 'via', node.address]);
    await Promise.all([serve(node, 'a', 8080, 'a'), serve(node, 'node', 7070), serve(client, 'client', 8080)]);
  });
  beforeEach(() => {
    [records, events] = [[], []];
    neighbours = new FirewallNeighbours({ exec, record: (target) => { records.push(target); return Promise.resolve(); }, events: { emit: ({ reason }) => { events.push(reason); } }, clock: systemClock, log: silentLog }, { nodeName: 'node', podCidrs: [cidr], checkIntervalMs: 30_000 });
  });
  afterAll(async () => { await lab?.destroy(); });

  it('are left alone where there are none', async () => {
    const before = await node.execOk('nft', ['list', 'ruleset']);
    await neighbours.check(signal);
    expect([await node.execOk('nft', ['list', 'ruleset']), records, events]).toEqual([before, [], []]);
    expect(await both()).toEqual(expected());
  });

  it('let pods through: Docker, by the chain that it keeps for others', async () => {
    // As Docker makes them.
    await node.execOk('iptables-restore', [], { input: '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A DOCKER-USER -j RETURN\nCOMMIT\n' });
    const before = await rules();
    expect(await both()).toEqual(['timeout', 'timeout', `node ${ip}`]);
    await neighbours.check(signal);
    expect(await both()).toEqual(expected());
    expect([await foreign(), records, events]).toEqual([before, [`Docker ${cidr}`], ['FirewallOpened']]);
    await neighbours.check(signal);
    await node.execOk('iptables', ['-F', 'DOCKER-USER']);
    await node.execOk('iptables', ['-A', 'DOCKER-USER', '-j', 'RETURN']);
    await neighbours.check(signal);
    expect([await both(), events]).toEqual([expected(), ['FirewallOpened', 'FirewallRulesRemoved']]);
    expect(await closeHook(exec, `Docker ${cidr}`)).toBe(true);
    expect([await rules(), await closeHook(exec, `Docker ${cidr}`)]).toEqual([before, false]);
    await node.sh('iptables -P FORWARD ACCEPT; iptables -F; iptables -X');
  });

  it('let pods through: ufw, by its own command, also when it was told to forget it', async () => {
    await node.execOk('ufw', ['--force', 'enable']);
    const [before, files] = [await rules(), await node.sh('cat /etc/ufw/*.rules')];
    expect(await both()).toEqual(['timeout', 'timeout', 'timeout']);
    await neighbours.check(signal);
    expect(await both()).toEqual(expected());
    expect([await foreign(), records, events]).toEqual([before, [`ufw ${cidr}`], ['FirewallOpened']]);
    await node.execOk('ufw', ['delete', 'allow', 'from', cidr]);
    await neighbours.check(signal);
    expect([await both(), events]).toEqual([expected(), ['FirewallOpened', 'FirewallRulesRemoved']]);
    expect(await closeHook(exec, `ufw ${cidr}`)).toBe(true);
    expect([await rules(), await node.sh('cat /etc/ufw/*.rules')]).toEqual([before, files]);
    await node.execOk('ufw', ['--force', 'disable']);
  });

  it('let pods through: firewalld, by its trusted zone, and ask it no more than they must', async () => {
    await node.sh('mkdir -p /run/dbus && dbus-daemon --system --fork --nopidfile');
    // As its unit starts it.
    const firewalld = node.spawn('firewalld', 'firewalld', ['--nofork', '--nopid']);
    await eventually(async () => (await node.exec('firewall-cmd', ['--state'])).exitCode === 0, { what: 'firewalld to run', timeoutMs: 60_000, intervalMs: 300, explain: () => firewalld.output() });
    const ruleset = async (): Promise<string> => node.execOk('nft', ['-s', 'list', 'ruleset']);
    const kept = (): Promise<string> => node.execOk('firewall-cmd', ['--permanent', '--list-all-zones']);
    const before = [await ruleset(), await kept()];
    expect(await both()).toEqual(['timeout', 'timeout', 'timeout']);
    await neighbours.check(signal);
    expect(await both()).toEqual(expected());
    expect([records, events]).toEqual([[`firewalld ${cidr}`], ['FirewallOpened']]);
    await neighbours.check(signal);
    commands.length = 0;
    await neighbours.check(signal);
    expect(commands.filter((command) => command === 'firewall-cmd')).toEqual([]);
    // What runs forgets, what is kept stays; then the other way round.
    await node.execOk('firewall-cmd', ['--zone=trusted', `--remove-source=${cidr}`]);
    await neighbours.check(signal);
    expect([await both(), events]).toEqual([expected(), ['FirewallOpened', 'FirewallRulesRemoved']]);
    await node.execOk('firewall-cmd', ['--reload']);
    await neighbours.check(signal);
    expect([await both(), events.length]).toEqual([expected(), 2]);
    expect(await closeHook(exec, `firewalld ${cidr}`)).toBe(true);
    expect([await ruleset(), await kept()]).toEqual(before);
    await neighbours.check(signal);
    await firewalld.kill('SIGTERM');
    expect(await closeHook(exec, `firewalld ${cidr}`)).toBe(true);
    expect(await node.sh('grep -rc 10.42 /etc/firewalld/zones/trusted.xml || true')).toBe('0\n');
  }, 600_000);

  it('are asked for nothing that would lose what firewalld was told for now only', async () => {
    const firewalld = node.spawn('firewalld', 'firewalld', ['--nofork', '--nopid']);
    await eventually(async () => (await node.exec('firewall-cmd', ['--state'])).exitCode === 0, { what: 'firewalld to run', timeoutMs: 60_000, intervalMs: 300, explain: () => firewalld.output() });
    await node.execOk('firewall-cmd', ['--zone=public', '--add-port=7070/tcp']);
    await neighbours.check(signal);
    expect([events, await node.execOk('firewall-cmd', ['--zone=public', '--list-ports'])]).toEqual([['FirewallNotOpened'], '7070/tcp\n']);
    expect(await both()).toEqual(['timeout', `client ${ip}`, `node ${ip}`]);
    commands.length = 0;
    await neighbours.check(signal);
    expect(commands).not.toContain('firewall-cmd');
    await node.execOk('firewall-cmd', ['--reload']);
    await neighbours.check(signal);
    expect(await both()).toEqual(expected());
    await firewalld.kill('SIGTERM');
  }, 600_000);
});
