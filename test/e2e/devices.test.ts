import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Container, Event, Node, Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabProcess } from '../support/lab/process.ts';

const plugin = join(import.meta.dirname, '../support/device-plugin.py');
const resource = 'example.com/toy';
/** Of the machine, which hosts share: a name of this test's own. */
const node = `/dev/cleat-e2e-${String(process.pid)}`;

/** A device plugin in Python and devices of classes, in containers without privileges, through restarts of everybody. */
describe('devices', () => {
  let cluster: Cluster;
  let toys: LabProcess | undefined;
  /** A loop device, of the machine as well. */
  let disk = '';

  beforeAll(async () => {
    // What stands in for NVIDIA's runtime leaves a trace and is runc otherwise.
    const programs = '/var/lib/programs';
    cluster = await Cluster.create({
      agents: 1, env: { PATH: `${process.env['PATH'] ?? ''}:${programs}` },
      prepareHost: async (prepared) => { await prepared.sh(`mkdir -p ${programs}; printf '#!/bin/sh\\necho ran >>/var/lib/nvidia-ran\\nexec runc "$@"\\n' >${programs}/nvidia-container-runtime; chmod 755 ${programs}/nvidia-container-runtime`); },
    });
    await cluster.importImage();
  });
  afterAll(async () => {
    await cluster?.agentHost(0).sh(`rm -f ${node}*; ${disk && `losetup -d ${disk}`}`).catch(() => undefined);
    await cluster?.destroy();
  });

  const host = () => cluster.agentHost(0);
  const pod = (name: string, limits: Record<string, string>, more: Partial<Container> = {}): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', 'sleep 100000'], resources: { limits }, ...more }] },
  });
  const get = (name: string): Promise<Pod> => cluster.json<Pod>(['get', 'pod', name]);
  const until = (name: string, condition: (p: Pod) => boolean): Promise<Pod> => eventually(async () => {
    const found = await get(name);
    return condition(found) ? found : false;
  }, { what: `pod ${name}`, timeoutMs: 60_000, intervalMs: 100, explain: async () => `${JSON.stringify((await get(name)).status)}\n${await cluster.diagnostics()}` });
  const state = (p: Pod) => p.status?.containerStatuses?.[0];
  const isReady = (p: Pod): boolean => state(p)?.ready === true;
  const exec = (name: string, script: string): Promise<string> => cluster.kubectl(['exec', name, '--', 'sh', '-c', script]);
  const remove = (...names: string[]): Promise<string> => cluster.kubectl(['delete', 'pod', ...names, '--now']);
  const untilAmounts = (wanted: string, of = resource): Promise<true> => eventually(async () => {
    const { status } = await cluster.json<Node>(['get', 'node', host().name]);
    return `${status?.capacity?.[of] ?? '-'}/${status?.allocatable?.[of] ?? '-'}` === wanted;
  }, { what: `${wanted} of ${of}`, timeoutMs: 60_000, intervalMs: 100, explain: () => cluster.diagnostics() });
  /** Starts the plugin; what it is told comes through a pipe. */
  async function startPlugin(name: string, of: string, ...lines: string[]): Promise<LabProcess> {
    await host().sh(`rm -f /run/${name}; mkfifo /run/${name}`);
    const started = host().spawn(name, 'sh', ['-c', `exec /usr/bin/python3 -u ${plugin} /var/lib/kubelet/device-plugins ${of} <>/run/${name}`]);
    await started.waitForOutput('serving', 20_000);
    await host().sh(`printf '%s\\n' ${[...lines, 'register'].map((line) => `'${line}'`).join(' ')} >/run/${name}`);
    await started.waitForOutput('registered', 20_000);
    return started;
  }
  const startToys = async (...lines: string[]): Promise<void> => { toys = await startPlugin('toys', resource, ...lines); };

  it('of a plugin reach a container: nodes, a terminal, files, environment and what CDI names', async () => {
    await host().sh(`mkdir -p /etc/cdi; echo '{"cdiVersion":"0.5.0","kind":"example.com/cdi","devices":[{"name":"net","containerEdits":{"env":["FROM_CDI=yes"],"deviceNodes":[{"path":"/dev/net/tun"}]}}]}' >/etc/cdi/toys.json`);
    const terminal = host().spawn('terminal', 'script', ['-qefc', 'tty; stty -echo; exec sleep 1000', '/dev/null']);
    await terminal.waitForOutput(/\/dev\/pts\/\d+/);
    const tty = /\/dev\/pts\/\d+/.exec(terminal.output())?.[0] ?? '';
    await startToys('devices [{"id":"a"},{"id":"b"},{"id":"sick","health":"Unhealthy"}]', `answer ${JSON.stringify({
      envs: { COLOR: 'red' }, devices: [{ container_path: '/dev/toy', host_path: '/dev/fuse', permissions: 'rw' }],
      mounts: [{ container_path: '/dev/tty-toy', host_path: tty }], cdi: ['example.com/cdi=net'],
    })}`);
    await untilAmounts('3/2');
    await cluster.apply([pod('one', { [resource]: '1' })]);
    expect(state(await until('one', isReady))?.allocatedResourcesStatus).toEqual([{ name: resource, resources: [{ resourceID: 'a', health: 'Healthy' }] }]);
    expect(await exec('one', '(: <> /dev/toy) && (: <> /dev/net/tun) && echo $COLOR $PLUGIN_DEVICES $FROM_CDI; (: < /dev/loop-control) 2>&1 | grep -c . ; echo hello >/dev/tty-toy')).toBe('red a yes\n1\n');
    await terminal.waitForOutput('hello');
  });

  it('are given to one pod each; the node refuses what it does not have', async () => {
    await cluster.apply([pod('two', { [resource]: '1' })]);
    await until('two', isReady);
    const forced = pod('forced', { [resource]: '1' });
    await cluster.apply([pod('three', { [resource]: '1' }), { ...forced, spec: { ...forced.spec, nodeName: host().name } } as Pod]);
    expect((await until('forced', (p) => p.status?.phase === 'Failed')).status).toMatchObject({
      reason: 'UnexpectedAdmissionError', message: 'Pod was rejected: Allocate failed due to requested number of devices unavailable for example.com/toy. Requested: 1, Available: 0, which is unexpected',
    });
    await until('three', (p) => p.status?.conditions?.some(({ type, message }) => type === 'PodScheduled' && /Insufficient example\.com\/toy/.test(message ?? '')) === true);
    await remove('two', 'three', 'forced');
  });

  it('stay with their pods when the plugin is killed, and the agent, and the control plane is away', async () => {
    const before = state(await get('one'))?.containerID;
    await toys?.kill('SIGKILL');
    await untilAmounts('3/0');
    const { items } = await cluster.json<{ items: Event[] }>(['get', 'events', '-A', '--field-selector', 'reason=DevicePluginGone']);
    expect(items[0]?.message).toMatch(/^the device plugin of example.com\/toy \(example.com-toy.sock\) is gone: /);
    await cluster.stopAgent(0, 'SIGKILL');
    await cluster.stopControlPlane();
    cluster.startAgent(0);
    // A container that ends starts again with what it had, though nobody is there to be asked.
    const pid = async (): Promise<string> => (await host().sh("pgrep -f '^sleep 100000' | head -1")).trim();
    const first = await pid();
    await eventually(() => host().sh('test -S /var/lib/kubelet/device-plugins/kubelet.sock && echo yes'), { what: 'the agent to serve plugins', timeoutMs: 30_000 });
    await host().sh(`kill -9 ${first}`);
    await eventually(async () => { const now = await pid(); return now !== '' && now !== first; }, { what: 'the container to start again', timeoutMs: 30_000 });
    await cluster.startControlPlane();
    await until('one', (p) => isReady(p) && state(p)?.containerID !== before);
    expect(await exec('one', '(: <> /dev/toy) && echo $PLUGIN_DEVICES')).toBe('a\n');
    await startToys('devices [{"id":"a"},{"id":"b"}]');
    await untilAmounts('2/2');
    await remove('one');
  });

  it('of NVIDIA are used through its runtime, which has a RuntimeClass', async () => {
    const gpus = await startPlugin('gpus', 'nvidia.com/gpu', 'devices [{"id":"GPU-1"}]');
    await untilAmounts('1/1', 'nvidia.com/gpu');
    expect((await cluster.json<{ handler: string }>(['get', 'runtimeclass', 'nvidia'])).handler).toBe('nvidia');
    expect((await cluster.json<Node>(['get', 'node', host().name])).status?.runtimeHandlers?.map(({ name }) => name)).toEqual(['', 'nvidia', 'runc']);
    expect((await host().exec('cat', ['/var/lib/nvidia-ran'])).exitCode).toBe(1);
    await cluster.apply([pod('gpu', { 'nvidia.com/gpu': '1' })]);
    await until('gpu', isReady);
    expect(await host().sh('cat /var/lib/nvidia-ran')).toMatch(/^ran/);
    await remove('gpu');
    await gpus.kill('SIGKILL');
  });

  it('of classes are found by Cleat, shared, and waited for when they are unplugged', async () => {
    await cluster.cleat(['device', 'add', 'tun', '--path', '/dev/net/tun', '--shares', '2']);
    await cluster.cleat(['device', 'add', 'gadget', '--path', `${node}-*`]);
    disk = (await host().sh('echo from the disk >/var/lib/disk; truncate -s 1M /var/lib/disk; losetup -f --show /var/lib/disk')).trim();
    await cluster.cleat(['device', 'add', 'disk', '--path', disk]);
    await untilAmounts('1/1', 'cleat.dev/disk');
    await untilAmounts('2/2', 'cleat.dev/tun');
    await untilAmounts('0/0', 'cleat.dev/gadget');
    await host().sh(`mknod ${node}-1 c 1 5`);
    await untilAmounts('1/1', 'cleat.dev/gadget');
    await cluster.apply([pod('user', { 'cleat.dev/tun': '1', 'cleat.dev/gadget': '1', 'cleat.dev/disk': '1' }, { command: ['sh', '-c', 'head -c 3 $CLEAT_DEVICES_GADGET | busybox hexdump -v; exec sleep 200000'] }), pod('other', { 'cleat.dev/tun': '1' })]);
    await until('user', isReady);
    await until('other', isReady);
    expect(await exec('user', 'echo $CLEAT_DEVICES_TUN $CLEAT_DEVICES_GADGET; (: <> /dev/net/tun) && head -c 2 $CLEAT_DEVICES_GADGET | wc -c')).toBe(`/dev/net/tun ${node}-1\n2\n`);
    expect(await exec('user', 'head -n 1 $CLEAT_DEVICES_DISK; echo from the pod | dd of=$CLEAT_DEVICES_DISK conv=notrunc,fsync 2>/dev/null')).toBe('from the disk\n');
    expect(await host().sh('head -n 1 /var/lib/disk')).toBe('from the pod\n');
    expect(await cluster.cleat(['device', 'list'])).toMatch(new RegExp(`^tun +path +/dev/net/tun +2 +cleat.dev/tun +${host().name} \\(2\\)$`, 'm'));
    await host().sh(`rm ${node}-1`);
    await untilAmounts('0/0', 'cleat.dev/gadget');
    await host().sh("kill -9 $(pgrep -f '^sleep 200000')");
    const waiting = await until('user', (p) => /is not there now/.test(state(p)?.state?.waiting?.message ?? ''));
    expect(state(waiting)?.state?.waiting).toMatchObject({ reason: 'CreateContainerConfigError', message: `device ${node.slice('/dev/'.length)}-1 of cleat.dev/gadget is not there now: waiting for it to be plugged in` });
    await host().sh(`mknod ${node}-1 c 1 7`);
    await until('user', isReady);
    // One that runs on has a node that leads nowhere when its device comes back as another.
    const restarts = state(await get('user'))?.restartCount ?? 0;
    await host().sh(`rm ${node}-1; mknod ${node}-1 c 1 5`);
    await until('user', (p) => isReady(p) && (state(p)?.restartCount ?? 0) > restarts);
    expect(await exec('user', 'head -c 2 $CLEAT_DEVICES_GADGET | busybox hexdump -v')).toContain('0000');
    await cluster.cleat(['device', 'remove', 'gadget', 'tun', 'disk']);
    await untilAmounts('0/0', 'cleat.dev/tun');
    await remove('user', 'other');
  });

  it('leave nothing of ours behind, whatever plugins left', async () => {
    await toys?.kill('SIGKILL');
    await cluster.stopAgent(0);
    await host().sh('rm -f /etc/cdi/toys.json; rmdir /etc/cdi');
    await host().execOk(join(import.meta.dirname, '../../cleat'), ['down', '--purge'], { timeoutMs: 60_000 });
    expect(await host().sh('ls -R /var/lib/kubelet /var/lib/cleat 2>/dev/null || true')).not.toMatch(/kubelet\.sock|toy|devices/);
    expect((await host().exec('test', ['-e', '/var/lib/kubelet'])).exitCode).toBe(1);
  });
});
