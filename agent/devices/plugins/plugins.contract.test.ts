import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryState, testContainer } from '#agent/pods/testing.ts';
import { NodeDevices } from '../node-devices.ts';
import { devicePod, TestPlugin } from '../testing.ts';

const resource = 'example.com/toy';
const ids = (...names: string[]): object[] => names.map((id) => ({ id }));

/** Device plugins in Python, over the sockets that they know from the kubelet. */
describe('device plugins', () => {
  let dir: string;
  let devices: NodeDevices;
  let stop: AbortController;
  let running: Promise<void>;
  let events: string[];
  const plugins: TestPlugin[] = [];
  const signal = AbortSignal.timeout(110_000);

  const state = new MemoryState();
  async function start(): Promise<void> {
    stop = new AbortController();
    events = [];
    devices = await NodeDevices.open(
      { state, clock: systemClock, log: silentLog, events: { emit: (e) => { events.push(`${e.reason}: ${e.message}`); } }, ledger: { record: () => Promise.resolve() } },
      { nodeName: 'n', pluginDir: join(dir, 'device-plugins'), recordPath: join(dir, 'devices.json'), topology: { policy: 'best-effort', scope: 'container' } },
    );
    running = devices.start(stop.signal);
    await vi.waitFor(() => new Promise<void>((resolve, reject) => { const socket = connect(join(dir, 'device-plugins/kubelet.sock'), () => { socket.destroy(); resolve(); }); socket.on('error', reject); }), 5000);
  }
  async function end(): Promise<void> {
    stop.abort();
    await running;
  }
  /** Serving, with these devices, and registered. */
  async function plugin(list: object[], ...modes: string[]): Promise<TestPlugin> {
    const made = new TestPlugin(join(dir, 'device-plugins'), resource, ...modes);
    plugins.push(made);
    await made.until('serving');
    made.tell('devices', list);
    made.tell('register');
    await made.until('registered');
    return made;
  }
  const amounts = (): string => `${devices.amounts().capacity[resource] ?? '-'}/${devices.amounts().allocatable[resource] ?? '-'}`;
  const untilAmounts = (wanted: string): Promise<void> => vi.waitFor(() => { expect(amounts()).toBe(wanted); }, 15_000);
  const admit = async (name: string, count = 1): Promise<string | undefined> => (await devices.admit(devicePod(name, { [resource]: String(count) }), signal))?.message;
  const deviceOf = async (name: string): Promise<string | undefined> => (await devices.parts(devicePod(name, { [resource]: '1' }), 'app', signal))?.env['PLUGIN_DEVICES'];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cleat-plugins-'));
    await start();
  });
  afterEach(async () => {
    await end();
    await Promise.all(plugins.splice(0).map((made) => made.kill()));
    await rm(dir, { recursive: true, force: true });
  });

  it('register, tell of their devices, and say what a container gets', async () => {
    const toy = await plugin([{ id: 'a', numa: 0 }, { id: 'b', health: 'Unhealthy' }]);
    toy.tell('answer', { envs: { COLOR: 'red' }, mounts: [{ container_path: '/in', host_path: '/out', read_only: true }], devices: [{ container_path: '/dev/x', host_path: '/dev/null', permissions: 'rw' }], annotations: { 'example.com/note': 'hi' }, cdi: ['example.com/toy=a'] });
    await untilAmounts('2/1');
    expect(await admit('p')).toBeUndefined();
    expect(await toy.until('allocate')).toMatchObject({ ids: ['a'] });
    expect(await devices.parts(devicePod('p', { [resource]: '1' }), 'app', signal)).toEqual({
      env: { PLUGIN_DEVICES: 'a', COLOR: 'red' }, mounts: [{ containerPath: '/in', hostPath: '/out', readOnly: true }],
      devices: [{ containerPath: '/dev/x', hostPath: '/dev/null', permissions: 'rw' }], annotations: { 'example.com/note': 'hi' }, cdiDevices: ['example.com/toy=a'],
    });
    expect(await admit('q')).toBe('Allocate failed due to requested number of devices unavailable for example.com/toy. Requested: 1, Available: 0, which is unexpected');
    toy.tell('devices', [{ id: 'a', health: 'Unhealthy' }, { id: 'b' }, { id: 'c' }]);
    await untilAmounts('3/2');
    expect(devices.health('p-uid').get('app')).toEqual([{ name: resource, resources: [{ resourceID: 'a', health: 'Unhealthy' }] }]);
    expect(await admit('q', 2)).toBeUndefined();
    devices.release('p-uid');
    toy.tell('devices', ids('a', 'b', 'c'));
    await untilAmounts('3/3');
    expect(await admit('r')).toBeUndefined();
    expect(await deviceOf('r')).toBe('a');
  });

  it('are asked which devices they would choose, and before each start where they want to be', async () => {
    const toy = await plugin(ids('a', 'b', 'c'), 'prefer', 'prestart');
    await untilAmounts('3/3');
    await admit('p');
    expect(await toy.until('prefer')).toMatchObject({ available: ['a', 'b', 'c'], must: [], size: 1 });
    expect(await deviceOf('p')).toBe('c');
    expect(await deviceOf('p')).toBe('c');
    expect((await toy.until('prestart', 2))['ids']).toEqual(['c']);
    // What an init container had before is the next one's.
    const limits = { [resource]: '2' };
    const pod = devicePod('q', limits, { initContainers: [testContainer('first', { resources: { limits: { [resource]: '1' } } })] });
    expect(await devices.admit(pod, signal)).toBeUndefined();
    expect((await devices.parts(pod, 'app', signal))?.env['PLUGIN_DEVICES']?.split(',').sort()).toEqual(['a', 'b']);
  });

  it.each([
    ['that do not say what they can', 'broken', resource, 'failed to get device plugin options: rpc error: code = Internal desc = no idea'],
    ['whose version is another', 'v0', resource, 'requested API version "v0" is not supported by kubelet. Supported version is ["v1beta1"]'],
    ['whose resource is not theirs to have', '', 'kubernetes.io/cpu', 'the ResourceName "kubernetes.io/cpu" is invalid'],
  ])('are refused %s', async (_why, mode, name, message) => {
    const toy = new TestPlugin(join(dir, 'device-plugins'), name, mode);
    plugins.push(toy);
    await toy.until('serving');
    toy.tell('register');
    expect(await toy.until('refused')).toMatchObject({ code: 'UNKNOWN', details: message });
    expect(amounts()).toBe('-/-');
  });

  it('may lie, fail and answer nothing: the pod is refused or gets what there is', async () => {
    const liar = await plugin([{ id: 'a' }, { id: 'a' }, { id: '' }, { id: 'b', health: 'fine?' }, { id: 'c' }], 'liar');
    await untilAmounts('3/2');
    expect(await admit('p')).toBeUndefined();
    expect(await deviceOf('p')).toBe('a');
    devices.release('p-uid');
    await liar.kill();
    await plugin(ids('a'), 'deny');
    await untilAmounts('1/1');
    expect(await admit('p')).toBe('Allocate failed due to rpc error: code = FailedPrecondition desc = the device is on fire, which is unexpected');
    const empty = await plugin(ids('a'), 'empty');
    await empty.until('watched');
    await vi.waitFor(async () => { expect(await admit('p')).toBe('Allocate failed due to no containers return in allocation response, which is unexpected'); }, 10_000);
    // One whose list never comes has nothing to give, whatever the one before it had.
    await (await plugin(ids('a'), 'hang')).until('watched');
    await untilAmounts('1/0');
    // One that is slow keeps nobody else waiting, and is not waited for by a pod that is to end.
    const slow = await plugin(ids('a', 'b'), 'slow');
    await untilAmounts('2/2');
    const leave = new AbortController();
    const left = devices.admit(devicePod('p', { [resource]: '1' }), leave.signal);
    await slow.until('allocate');
    const other = admit('q');
    leave.abort(new Error('the pod is to end'));
    await expect(left).rejects.toThrow('the pod is to end');
    expect(await other).toBeUndefined();
  });

  it('are missed when they are killed: no pod gets their devices, who has them keeps them, and they come back', async () => {
    const toy = await plugin(ids('a', 'b'));
    await untilAmounts('2/2');
    await admit('p');
    await toy.kill();
    await untilAmounts('2/0');
    expect(events.join()).toMatch(/DevicePluginGone: the device plugin of example.com\/toy \(example.com-toy.sock\) is gone/);
    expect(await deviceOf('p')).toBe('a');
    const again = await plugin(ids('a', 'b'));
    await untilAmounts('2/2');
    expect(await admit('q')).toBeUndefined();
    expect(await deviceOf('q')).toBe('b');
    // One that cannot be talked to takes nobody's place.
    const broken = new TestPlugin(join(dir, 'device-plugins'), resource, 'broken', 'aside');
    plugins.push(broken);
    await broken.until('serving');
    broken.tell('register');
    await broken.until('refused');
    expect(amounts()).toBe('2/2');
    // One that registers again takes the place of itself.
    again.tell('register');
    await again.until('registered', 2);
    again.tell('devices', ids('a', 'b', 'c'));
    await untilAmounts('3/3');
  });

  it('are told of a new agent by their sockets, and allocations outlive both', async () => {
    const toy = await plugin(ids('a', 'b'));
    await untilAmounts('2/2');
    await admit('p');
    await end();
    expect(existsSync(join(dir, 'device-plugins/kubelet.sock'))).toBe(false);
    await start();
    expect(existsSync(join(dir, 'device-plugins/example.com-toy.sock'))).toBe(false);
    expect(amounts()).toBe('2/0');
    expect(await deviceOf('p')).toBe('a');
    // A pod that comes before the plugin does waits for it.
    const waiting = admit('q');
    // It may register before it serves: the contract says so.
    toy.tell('register');
    await toy.until('registered', 2);
    toy.tell('serve');
    expect(await waiting).toBeUndefined();
    expect(await deviceOf('q')).toBe('b');
  });

  it('is read as it was before when the record is damaged, and asks plugins anew after a boot', async () => {
    const toy = await plugin(ids('a', 'b'));
    await untilAmounts('2/2');
    await admit('p');
    await admit('q');
    await end();
    const path = join(dir, 'devices.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('q-uid', 'Q-uid'));
    await start();
    expect([...devices.pods.keys()]).toEqual(['p-uid']);
    await end();
    const [, data = ''] = text.split('\n');
    const other = JSON.stringify({ ...JSON.parse(data) as object, bootId: 'another' });
    const { createHash } = await import('node:crypto');
    await writeFile(path, `${JSON.stringify({ version: 1, sha256: createHash('sha256').update(other).digest('hex') })}\n${other}\n`);
    await start();
    await expect(deviceOf('q')).rejects.toMatchObject({ code: 'NotFound', message: 'waiting for the device plugin of example.com/toy to register' });
    toy.tell('serve');
    toy.tell('register');
    await untilAmounts('2/2');
    expect(await deviceOf('q')).toBe('b');
    expect(await toy.until('allocate', 3)).toMatchObject({ ids: ['b'] });
  });

  it('and those who watch them are told who has what', async () => {
    const toy = await plugin([{ id: 'a', numa: 1 }, { id: 'b' }, { id: 'c', health: 'Unhealthy' }]);
    await untilAmounts('3/2');
    await admit('p');
    state.set(devicePod('p', { [resource]: '1' }), devicePod('plain', {}));
    toy.tell('resources');
    expect(await toy.until('resources')).toMatchObject({ pods: { 'default/p/app': [[resource, 'a', 1]], 'default/plain/app': [] }, allocatable: ['a', 'b'] });
  });

  it('may be built with a gRPC that sends the path of the socket as authority', async () => {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(join(dir, 'device-plugins/kubelet.sock')) });
    const answers: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const request = session.request({ ':method': 'POST', ':path': '/v1beta1.Registration/Register', ':authority': '/var/lib/kubelet/device-plugins/kubelet.sock', 'content-type': 'application/grpc', te: 'trailers' });
      request.end(Buffer.from([0, 0, 0, 0, 0]));
      request.resume();
      const [headers] = await once(request, 'response') as [Record<string, unknown>];
      answers.push(headers[':status']);
      await once(request, 'close');
    }
    expect(answers).toEqual([200, 200]);
    session.close();
  });

  it('leaves a kubelet that is there alone', async () => {
    await end();
    const path = join(dir, 'device-plugins/kubelet.sock');
    let asked = 0;
    const kubelet = createServer((socket) => { asked++; socket.on('error', () => undefined).end(); }).listen(path);
    await once(kubelet, 'listening');
    stop = new AbortController();
    running = devices.start(stop.signal);
    await expect.poll(() => asked).toBeGreaterThan(1);
    await new Promise<void>((resolve, reject) => { const socket = connect(path, () => { socket.destroy(); resolve(); }); socket.on('error', reject); });
    kubelet.close();
  });
});
