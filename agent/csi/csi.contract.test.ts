import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CSIDriver, PersistentVolume, Pod } from '#api/gen/types.ts';
import { attachmentName } from '#api/volumes/csi.ts';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { TestProgram } from '#agent/devices/testing.ts';
import { MemoryState, testPod } from '#agent/pods/testing.ts';
import { isMountPoint, mountsBelow } from '#agent/pods/volumes/mounts.ts';
import { NodeCsi } from './node-csi.ts';
import { removeCsiVolumes } from './teardown.ts';
import type { PodVolume } from './types.ts';

const driver = 'toy.example.com';

/** A CSI driver in Python, whose volumes are bind mounts, over the sockets that drivers know from the kubelet. */
describe('CSI drivers', () => {
  let kubeletDir: string;
  let csi: NodeCsi;
  let state: MemoryState;
  let stop: AbortController;
  let running: Promise<void>;
  let program: TestProgram;
  const programs: TestProgram[] = [];
  const told: string[] = [];
  const signal = AbortSignal.timeout(110_000);

  function start(): void {
    stop = new AbortController();
    csi = new NodeCsi({ state, clock: systemClock, log: silentLog, ledger: { record: () => Promise.resolve() }, events: { emit: ({ reason, message }) => { told.push(`${reason}: ${message}`); } }, reported: () => undefined }, { nodeName: 'n', kubeletDir });
    running = csi.start(stop.signal);
  }
  /** As a crash leaves things: nothing is unmounted. */
  async function end(): Promise<void> {
    stop.abort();
    await running;
  }
  async function runDriver(...modes: string[]): Promise<TestProgram> {
    program = new TestProgram('csi-driver.py', kubeletDir, driver, join(kubeletDir, 'volumes'), ...modes);
    programs.push(program);
    await program.until('serving');
    return program;
  }
  const registered = (): Promise<void> => vi.waitFor(() => { expect(csi.report()?.drivers.map(({ name }) => name)).toEqual([driver]); }, 15_000);
  const modes = async (...wanted: string[]): Promise<void> => {
    const count = program.said.filter(({ event }) => event === 'modes').length;
    program.command(`modes ${wanted.join(' ')}`);
    await program.until('modes', count + 1);
  };
  const object = (spec: CSIDriver['spec'] = {}): CSIDriver => ({ apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name: driver }, spec: { attachRequired: false, ...spec } });
  const claimed = (name: string, more: object = {}, spec: object = {}): PersistentVolume => ({ metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], csi: { driver, volumeHandle: `h-${name}`, ...more }, ...spec } });
  const of = (name: string, volume: PersistentVolume, more: Partial<Pod['spec'] & object> = {}): PodVolume => ({ pod: testPod(name, more), volume: { name: 'data', persistentVolumeClaim: { claimName: 'c' } }, claimed: volume });
  const said = (event: string): number => program.said.filter((one) => one.event === event).length;
  const leftovers = async (): Promise<string[]> => [...await mountsBelow(kubeletDir), ...await readdir(join(kubeletDir, 'pods')), ...await readdir(join(kubeletDir, 'plugins/kubernetes.io/csi', driver)).catch(() => [])];
  const clean = (): Promise<void> => vi.waitFor(async () => { expect(await leftovers()).toEqual([]); }, 15_000);

  beforeEach(async () => {
    kubeletDir = await mkdtemp(join(tmpdir(), 'cleat-csi-'));
    state = new MemoryState();
    state.set(object());
    start();
  });
  afterEach(async () => {
    await end();
    await Promise.all(programs.splice(0).map((one) => one.kill()));
    for (const mount of await mountsBelow(kubeletDir)) await execOk('umount', [mount]);
    await rm(kubeletDir, { recursive: true, force: true });
  });

  it('register, are asked who they are, and are reported until their socket goes', async () => {
    await runDriver();
    await registered();
    expect(csi.report()).toEqual({ drivers: [{ name: driver, nodeID: `id-of-${driver}`, topologyKeys: [`topology.${driver}/rack`], allocatable: { count: 7 } }], gone: [], topology: { [`topology.${driver}/rack`]: 'r1' }, volumesInUse: [], expansions: [] });
    await program.until('registered');
    program.command('quit');
    await program.exited;
    await vi.waitFor(() => { expect(csi.report()).toMatchObject({ drivers: [], gone: [driver] }); }, 15_000);
  });

  it('are told why, when they cannot register', async () => {
    await runDriver('device');
    expect((await program.until('refused'))['error']).toMatch(/^no handler registered for plugin type: DevicePlugin at socket /);
    await modes('v0');
    program.command('register');
    expect((await program.until('refused', 2))['error']).toMatch(/^unsupported versions \["0.3.0"\] of CSI driver/);
    await modes('nameless');
    program.command('register');
    expect((await program.until('refused', 3))['error']).toBe(`the CSI driver ${driver} says no node_id`);
    // Such a one is asked again.
    await modes();
    await registered();
  });

  it('stage a volume once and publish it for each pod; the last one unstages it', async () => {
    await runDriver('multiwriter');
    await registered();
    state.set(object({ podInfoOnMount: true }), { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'keys' }, data: { password: Buffer.from('secret').toString('base64') } });
    const volume = claimed('v', { fsType: 'ext4', volumeAttributes: { tier: 'gold' }, nodeStageSecretRef: { name: 's', namespace: 'keys' } }, { mountOptions: ['noatime'] });
    const [a, b] = [of('a', volume, { securityContext: { fsGroup: 4711 } }), of('b', volume)];
    await Promise.all([csi.ensure(a, true, signal), csi.ensure(b, true, signal)]);
    await csi.ensure(a, false, signal);
    expect([said('stage'), said('publish')]).toEqual([1, 2]);
    expect(await program.until('stage')).toMatchObject({ id: 'h-v', secrets: { password: 'secret' }, context: { tier: 'gold' }, fsType: 'ext4', flags: ['noatime'], mode: 7, publishContext: {} });
    const published = program.said.filter(({ event }) => event === 'publish').find(({ path }) => path === csi.path(a));
    expect(published).toMatchObject({ readonly: false, secrets: {}, context: { 'tier': 'gold', 'csi.storage.k8s.io/pod.name': 'a', 'csi.storage.k8s.io/pod.namespace': 'default', 'csi.storage.k8s.io/pod.uid': 'a-uid', 'csi.storage.k8s.io/ephemeral': 'false' } });
    expect(csi.path(a)).toBe(join(kubeletDir, 'pods/a-uid/volumes/kubernetes.io~csi/v/mount'));
    expect(published?.['staging']).toMatch(/plugins\/kubernetes\.io\/csi\/toy\.example\.com\/[0-9a-f]{64}\/globalmount$/);
    await vi.waitFor(() => { expect(csi.report()?.volumesInUse).toEqual([`kubernetes.io/csi/${driver}^h-v`]); });
    await writeFile(join(csi.path(a), 'file'), 'x');
    expect(await readFile(join(csi.path(b), 'file'), 'utf8')).toBe('x');
    expect((await stat(csi.path(b))).gid).toBe(4711);
    await csi.release('a-uid', signal);
    expect([await isMountPoint(csi.path(a)), await isMountPoint(csi.path(b)), said('unstage')]).toEqual([false, true, 0]);
    await csi.release('b-uid', signal);
    expect([said('unpublish'), said('unstage')]).toEqual([2, 1]);
    expect(await leftovers()).toEqual([]);
    await vi.waitFor(() => { expect(csi.report()?.volumesInUse).toEqual([]); });
    expect(await readFile(join(kubeletDir, 'volumes/h-v/file'), 'utf8')).toBe('x');
    // One that only one pod may have, whoever sent a second one here.
    const own = claimed('own', {}, { accessModes: ['ReadWriteOncePod'] });
    await csi.ensure(of('a', own), true, signal);
    await expect(csi.ensure(of('b', own), true, signal)).rejects.toThrow('volume uses the ReadWriteOncePod access mode and is already in use by another pod');
    await csi.release('a-uid', signal);
    await csi.ensure(of('b', own), true, signal);
    await csi.release('b-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('wait for the attacher, and are told what it said', async () => {
    await runDriver('nostage');
    await registered();
    state.set(object({ attachRequired: true }));
    const about = of('a', claimed('v', { readOnly: true }));
    const name = attachmentName(driver, 'h-v', 'n');
    const attachment = { apiVersion: 'storage.k8s.io/v1', kind: 'VolumeAttachment', metadata: { name }, spec: { attacher: driver, nodeName: 'n', source: { persistentVolumeName: 'v' } } };
    const interrupted = new AbortController();
    const first = csi.ensure(about, true, interrupted.signal);
    interrupted.abort(new Error('the pod is to end'));
    await expect(first).rejects.toThrow('the pod is to end');
    const done = csi.ensure(about, true, signal);
    state.set({ ...attachment, status: { attached: false } }, { ...attachment, metadata: { name, deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { attached: true } });
    expect(said('publish')).toBe(0);
    state.set({ ...attachment, status: { attached: true, attachmentMetadata: { lun: '3' } } });
    await done;
    expect(await program.until('publish')).toMatchObject({ readonly: true, staging: '', publishContext: { lun: '3' }, mode: 1 });
    await expect(writeFile(join(csi.path(about), 'file'), 'x')).rejects.toThrow('EROFS');
    await csi.release('a-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('publish block devices', async () => {
    await runDriver();
    await registered();
    const about = of('a', claimed('v', {}, { volumeMode: 'Block' }), { securityContext: { fsGroup: 7 } });
    await csi.ensure(about, true, signal);
    expect(await program.until('publish')).toMatchObject({ block: true, mode: 1 });
    expect(await stat(csi.path(about))).toMatchObject({ rdev: (await stat(join(kubeletDir, 'volumes/h-v'))).rdev, gid: 0 });
    await modes('litter');
    await csi.release('a-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  const sized = (about: PodVolume, has: string, given: string, status?: string): PodVolume => ({
    ...about, claimed: { ...about.claimed, spec: { ...about.claimed?.spec, capacity: { storage: has } } },
    claim: { metadata: { name: 'c', namespace: 'default' }, status: { capacity: { storage: given }, ...(status !== undefined && { allocatedResourceStatuses: { storage: status } }) } },
  });

  it('grow volumes for pods that run and for those that begin, and say what of them is used', async () => {
    told.length = 0;
    await runDriver();
    await registered();
    state.set({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'keys' }, data: { password: Buffer.from('grow').toString('base64') } });
    const a = of('a', claimed('v', { fsType: 'ext4', nodeExpandSecretRef: { name: 's', namespace: 'keys' } }));
    await csi.ensure(sized(a, '1Gi', '1Gi'), true, signal);
    await csi.ensure(sized(a, '2Gi', '1Gi', 'ControllerResizeInProgress'), false, signal);
    expect(said('expand')).toBe(0);
    await csi.ensure(sized(a, '2Gi', '1Gi', 'NodeResizePending'), false, signal);
    await csi.ensure(sized(a, '2Gi', '1Gi', 'NodeResizePending'), false, signal);
    expect(said('expand')).toBe(1);
    expect(await program.until('expand')).toMatchObject({ id: 'h-v', bytes: 2 ** 31, limit: 0, secrets: { password: 'grow' }, fsType: 'ext4', mode: 1, path: expect.stringMatching(/globalmount$/), staging: expect.stringMatching(/globalmount$/) });
    await vi.waitFor(() => { expect(csi.report()?.expansions).toEqual([{ volume: 'v', capacity: '2Gi' }]); });
    // Said until the claim shows it.
    await csi.ensure(sized(a, '2Gi', '2Gi'), false, signal);
    await csi.ensure(sized(a, '3Gi', '2Gi'), true, signal);
    await vi.waitFor(() => { expect(csi.report()?.expansions).toEqual([{ volume: 'v', capacity: '3Gi' }]); });
    expect(told).toEqual(['FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "v" n', 'FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "v" n']);
    expect(await csi.stats(a, signal)).toEqual({ availableBytes: 600, capacityBytes: 1000, usedBytes: 400, inodesFree: 7, inodes: 10, inodesUsed: 3, abnormal: true });
    expect(await program.until('stats')).toMatchObject({ id: 'h-v', path: csi.path(a), staging: expect.stringMatching(/globalmount$/) });
    await csi.release('a-uid', signal);
    expect(await csi.stats(a, signal)).toBeUndefined();
    await vi.waitFor(() => { expect(csi.report()?.expansions).toEqual([]); });
    expect(await leftovers()).toEqual([]);
  });

  it('that cannot grow a volume let pods run, and say why', async () => {
    told.length = 0;
    await runDriver('nostage', 'stuck');
    await registered();
    const a = of('a', claimed('v'));
    await csi.ensure(sized(a, '1Gi', '1Gi'), true, signal);
    // Tried again, with back-off.
    const againMs = await csi.ensure(sized(a, '2Gi', '1Gi'), false, signal);
    expect(againMs).toBeGreaterThan(0);
    await csi.ensure(sized(a, '2Gi', '1Gi'), false, signal);
    expect(said('expand')).toBe(1);
    expect(await program.until('expand')).toMatchObject({ path: csi.path(a), staging: '' });
    await vi.waitFor(() => { expect(csi.report()?.expansions).toEqual([{ volume: 'v', capacity: '2Gi', error: 'rpc error: code = Internal desc = it is stuck' }]); });
    expect(told).toEqual(['VolumeResizeFailed: NodeExpandVolume.NodeExpandVolume failed for volume "v" : rpc error: code = Internal desc = it is stuck']);
    // A pod that begins waits, unless the driver says that it has to be without the volume.
    await expect(csi.ensure(sized(a, '2Gi', '1Gi'), true, signal)).rejects.toThrow('the volume could not be expanded to 2Gi: rpc error: code = Internal desc = it is stuck');
    await modes('nostage', 'busy');
    await csi.ensure(sized(a, '2Gi', '1Gi'), true, signal);
    await modes('nostage', 'full');
    await expect(csi.ensure(sized(a, '3Gi', '1Gi'), true, signal)).rejects.toThrow('OutOfRange');
    await vi.waitFor(() => { expect(csi.report()?.expansions).toMatchObject([{ capacity: '3Gi', infeasible: true }]); });
    const asked = said('expand');
    await csi.ensure(sized(a, '3Gi', '1Gi', 'NodeResizeInfeasible'), true, signal);
    expect(said('expand')).toBe(asked);
    await modes('nostage');
    await csi.ensure(sized(a, '2560Mi', '1Gi'), false, signal);
    await csi.release('a-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('make volumes that live with a pod, if they say so', async () => {
    await runDriver('mountgroup');
    await registered();
    const about: PodVolume = { pod: testPod('a', { securityContext: { fsGroup: 7 } }), volume: { name: 'tmp', csi: { driver, volumeAttributes: { size: '1' } } }, claimed: undefined };
    await expect(csi.ensure(about, true, signal)).rejects.toThrow(`volume mode "Ephemeral" not supported by driver ${driver} (only supports ["Persistent"])`);
    state.set(object({ volumeLifecycleModes: ['Ephemeral'], podInfoOnMount: true }));
    await csi.ensure(about, true, signal);
    expect(await program.until('publish')).toMatchObject({ staging: '', group: '7', context: { 'size': '1', 'csi.storage.k8s.io/ephemeral': 'true' } });
    expect([said('stage'), csi.report()?.volumesInUse]).toEqual([0, []]);
    await csi.release('a-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('are given tokens of the pod, and are asked again, if they want it', async () => {
    await runDriver();
    await registered();
    state.set(object({ requiresRepublish: true, tokenRequests: [{ audience: 'vault', expirationSeconds: 600 }] }));
    const asked: object[] = [];
    const token = (request: object): Promise<string> => { asked.push(request); return Promise.resolve(`h.${Buffer.from('{"exp":1767225600}').toString('base64url')}.s`); };
    const about = { ...of('a', claimed('v')), token };
    expect(await csi.ensure(about, true, signal)).toBe(60_000);
    expect(await csi.ensure(about, false, signal)).toBe(60_000);
    expect([said('publish'), asked]).toEqual([1, [{ namespace: 'default', podName: 'a', podUid: 'a-uid', audience: 'vault', expirationSeconds: 600 }]]);
    const { context } = await program.until('publish') as unknown as { context: Record<string, string> };
    expect(JSON.parse(context['csi.storage.k8s.io/serviceAccount.tokens'] ?? '')).toEqual({ vault: { token: expect.stringMatching(/^h\./), expirationTimestamp: '2026-01-01T00:00:00Z' } });
    // Another agent does not know when that was.
    await end();
    start();
    await registered();
    await csi.ensure(about, false, signal);
    expect([said('stage'), said('publish')]).toEqual([1, 2]);
    await csi.release('a-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('that are slow, lie or fail hold up nobody else, and what they leave is unmounted', async () => {
    await runDriver('slow');
    await registered();
    const interrupted = new AbortController();
    const slow = csi.ensure(of('a', claimed('v')), true, interrupted.signal);
    await program.until('publish');
    await modes();
    await csi.ensure(of('b', claimed('w')), true, signal);
    interrupted.abort(new Error('the pod is to end'));
    await expect(slow).rejects.toThrow('the pod is to end');
    await csi.release('a-uid', signal);
    await modes('litter');
    await csi.release('b-uid', signal);
    expect(await leftovers()).toEqual([]);
    await modes('deny');
    await expect(csi.ensure(of('c', claimed('x')), true, signal)).rejects.toThrow('rpc error: code = FailedPrecondition desc = the disk is on fire');
    await modes('liar');
    await expect(csi.ensure(of('c', claimed('x')), true, signal)).rejects.toThrow('says that the volume is published, but nothing is mounted at');
    await csi.release('c-uid', signal);
    expect(await leftovers()).toEqual([]);
  });

  it('clean up after a crash, also when they come back later than we do; what is another\'s stays', async () => {
    await runDriver();
    await registered();
    await Promise.all([csi.ensure(of('a', claimed('v')), true, signal), csi.ensure(of('b', claimed('w')), true, signal)]);
    await modes('slow');
    csi.ensure(of('c', claimed('x')), true, stop.signal).catch(() => undefined);
    await program.until('publish', 3);
    await end();
    await program.kill();
    const foreign = join(kubeletDir, 'pods/f-uid/volumes/kubernetes.io~csi/v');
    await mkdir(foreign, { recursive: true });
    await writeFile(join(foreign, 'vol_data.json'), JSON.stringify({ driverName: driver, volumeHandle: 'h' }));
    start();
    const waiting = vi.fn();
    csi.subscribe(waiting);
    // Its socket is still there, and nobody answers.
    await expect(csi.release('a-uid', signal)).rejects.toThrow(`driver name ${driver} not found in the list of registered CSI drivers`);
    // A pod that has its volume does not miss it.
    await csi.ensure(of('b', claimed('w')), true, signal);
    csi.retain((uid) => uid === 'b-uid');
    await runDriver();
    await registered();
    expect(waiting).toHaveBeenCalled();
    await csi.ensure(of('b', claimed('w')), false, signal);
    await vi.waitFor(async () => { expect((await readdir(join(kubeletDir, 'pods'))).sort()).toEqual(['b-uid', 'f-uid']); }, 15_000);
    expect(await isMountPoint(csi.path(of('b', claimed('w'))))).toBe(true);
    expect(said('publish')).toBe(0);
    await rm(join(kubeletDir, 'pods/f-uid'), { recursive: true });
    await csi.release('b-uid', signal);
    await clean();
  });

  it('are not asked when Cleat leaves the host', async () => {
    await runDriver();
    await registered();
    await csi.ensure(of('a', claimed('v')), true, signal);
    await end();
    await program.kill();
    expect(await removeCsiVolumes(kubeletDir)).toBe(1);
    expect(await leftovers()).toEqual([]);
  });
});
