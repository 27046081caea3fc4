import { access, mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerStatus, Pod, PodStatus } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { openContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import { openCtrLab } from '#agent/runtimes/ctr/test-lab.ts';
import { openDockerLab } from '#agent/runtimes/docker/test-lab.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { runtimeStatus } from '#agent/node/node-status.ts';
import { helloImage, helloSpec, hostArchitecture, imageArchive } from '#install/images.ts';
import type { TarEntry } from '#install/images-tar.ts';
import { enforcesAppArmor } from './admit.ts';
import { Evictor } from './eviction/evictor.ts';
import { PodManager } from './manager.ts';
import { MemoryState, testContainer, testPod as anyPod } from './testing.ts';
import { mountsBelow } from './volumes/mounts.ts';

interface Lab { readonly driver: RuntimeDriver; readonly stateDir: string; readonly netns: string; readonly close: () => Promise<void> }

const labs: readonly (readonly [string, () => Promise<Lab>])[] = [
  ['cri', () => openContainerdLab('10.77.9.0/24')],
  ['ctr', async () => { const lab = await openCtrLab(); return { driver: lab.driver, stateDir: lab.host.stateDir, netns: lab.host.netns, close: () => lab.close() }; }],
  ['docker', async () => { const lab = await openDockerLab(); return { driver: lab.driver, stateDir: lab.host.stateDir, netns: lab.host.netns, close: () => lab.close() }; }],
];
const testPod = (name: string, spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: Pod['metadata'] = {}): Pod => anyPod(name, { terminationGracePeriodSeconds: 1, ...spec }, metadata);
/** Its nobody is in a group. */
const grouped = 'docker.io/library/cleat-grouped:1';
/** It runs as somebody whom it does not know. */
const ghostly = 'docker.io/library/cleat-ghostly:1';
/** Of three layers: one changes what is below, one takes something away. */
const stacked = 'docker.io/library/cleat-stacked:1';
const sh = (script: string): { command: string[] } => ({ command: ['sh', '-c', script] });
/** What one may do, and one may not: mkdir. */
const noFolders = JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }] });

async function hasAllCapabilities(): Promise<boolean> {
  const held = /^CapEff:\s+(\w+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return BigInt(`0x${held}`) === (1n << BigInt(Number(await readFile('/proc/sys/kernel/cap_last_cap', 'utf8')) + 1)) - 1n;
}

/** What a pod may ask for, on each runtime: programs look at what they have been given. */
describe.each(labs)('pods on %s have what they ask for', (runtime, open) => {
  let lab: Lab;
  let state: MemoryState;
  let manager: PodManager;
  let running: Promise<unknown>;
  let told: ReturnType<typeof runtimeStatus>;
  /** What the runtime says that it can, which newer ones do of more. */
  let can: { recursiveReadOnlyMounts?: boolean | undefined; userNamespaces?: boolean | undefined; supplementalGroupsPolicy?: boolean | undefined };
  const stop = new AbortController();
  const events: AgentEvent[] = [];
  const listeners = new Set<() => void>();
  const tell = (): void => { for (const listener of listeners) listener(); };

  beforeAll(async () => {
    lab = await open();
    state = new MemoryState();
    told = runtimeStatus(await lab.driver.setup(stop.signal));
    can = { ...told.runtimeHandlers?.find(({ name }) => name === '')?.features, ...told.features };
    manager = new PodManager({
      state, driver: lab.driver, clock: systemClock, log: silentLog, events: { emit: (e) => { events.push(e); tell(); } },
      node: { hostIps: () => ['192.0.2.1'], runtimeHandlers: () => told.runtimeHandlers ?? [], strictGroups: () => told.features?.supplementalGroupsPolicy, allocatable: () => ({ cpuMillis: 2000, memoryBytes: 4 << 30 }), resources: () => ({ cpu: '2', memory: '4Gi', pods: '110', 'hugepages-2Mi': '8Mi' }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
    }, { nodeName: 'node', stateDir: lab.stateDir, cgroupRoot: `/${lab.netns}`, clusterDomain: 'cluster.local', clusterDns: ['10.43.0.10'], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], parallelStarts: 8 });
    manager.subscribe(tell);
    const calm = { pressures: () => Promise.resolve([]), isPressed: false, onPressed: () => () => undefined };
    const evictor = new Evictor({ pods: manager, node: calm, driver: lab.driver, clock: systemClock, events: { emit: () => undefined }, log: silentLog }, { nodeName: 'node', stateDir: lab.stateDir, cgroupRoot: `/${lab.netns}`, maxGraceSeconds: 0, measureMs: 500 });
    running = Promise.all([manager.start(stop.signal), evictor.start(stop.signal)]);
    const hello = helloSpec(hostArchitecture(), await readFile('/bin/busybox'));
    const group = { path: 'etc/group', type: 'file', mode: 0o644, data: Buffer.from('root:x:0:\nteam:x:4242:nobody\n') } as const;
    for (const image of [{ ...hello, name: grouped, files: [...hello.files.filter(({ path }) => path !== group.path), group] }, { ...hello, name: ghostly, user: 'ghost' }]) {
      await lab.driver.importImage(Readable.from([imageArchive(image)]), stop.signal);
    }
    // From the start: a runtime that counts by itself does so every ten seconds.
    state.set(testPod('wordy', { containers: [testContainer('app', { ...sh('head -c 3000000 /dev/zero > /file; exec sleep 100000'), resources: { limits: { 'ephemeral-storage': '1Mi' } } })] }));
    state.set(testPod('many', { containers: [testContainer('app', { ...sh('for n in 1 2 3 4 5 6 7 8 9; do : > /$n; done; exec sleep 100000'), resources: { limits: { cpu: '500m', memory: '64Mi' } } })] }));
    await mkdir(join(lab.stateDir, 'seccomp'), { recursive: true });
    await writeFile(join(lab.stateDir, 'seccomp/no-folders.json'), noFolders);
  });
  afterAll(async () => {
    for (const pod of state.list(pods)) state.remove(pods, 'default', pod.metadata?.name ?? '');
    await until(async () => (await lab.driver.list(stop.signal)).sandboxes.length === 0);
    stop.abort(new Error('end'));
    await running;
    await lab.close();
  });

  async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
    const signal = AbortSignal.timeout(100_000);
    for (;;) {
      const changed = new Promise<void>((resolve, reject) => {
        const next = (): void => { listeners.delete(next); resolve(); };
        listeners.add(next);
        setTimeout(next, 50);
        if (signal.aborted) reject(new Error(`not reached: ${unsettled()}; events: ${events.map((e) => `${e.name}: ${e.message}`).join(' | ').slice(-3000)}`));
      });
      // Awaited below; it may be late while the condition is looked at.
      changed.catch(() => undefined);
      if (await condition()) return;
      await changed;
    }
  }
  const statusOf = (name: string): PodStatus | undefined => manager.all().find((r) => r.name === name)?.status;
  const isReady = (name: string): boolean => statusOf(name)?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
  const stateOf = (name: string, container = 'app'): ContainerStatus | undefined => [...statusOf(name)?.initContainerStatuses ?? [], ...statusOf(name)?.containerStatuses ?? [], ...statusOf(name)?.ephemeralContainerStatuses ?? []].find((c) => c.name === container);
  const unsettled = (): string => JSON.stringify(manager.all().filter(({ name }) => !isReady(name)).map(({ name, status }) => [name, status.phase, status.reason, status.message, ...[...status.containerStatuses ?? []].map(({ state: now, lastState }) => [now, lastState])]));
  const inside = async (name: string, script: string, container = 'app'): Promise<string> => (await lab.driver.exec(stateOf(name, container)?.containerID?.replace(/^\w+:\/\//, '') ?? '', ['sh', '-c', script], 30_000, stop.signal)).output;
  async function logs(name: string): Promise<string> {
    let text = '';
    for await (const chunk of manager.logs({ namespace: 'default', podName: name, podUid: `${name}-uid`, container: 'app', follow: false, previous: false, timestamps: false }, stop.signal)) text += Buffer.from(chunk).toString();
    return text;
  }

  it('users, groups, privileges, names and namespaces', async () => {
    // Docker gives privileged containers what root itself may lack here, and the kernel refuses.
    const privileged = runtime !== 'docker' || await hasAllCapabilities();
    state.set(
      { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'strange' }, handler: 'none' }, { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'usual' }, handler: 'runc' },
      { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'noted' }, handler: runtime === 'ctr' ? 'noted' : 'runc' },
      testPod('strange', { runtimeClassName: 'strange' }),
      testPod('plain', { runtimeClassName: 'usual' }),
      testPod('asked', {
        hostname: 'h', subdomain: 'sub', setHostnameAsFQDN: true, hostAliases: [{ ip: '192.0.2.9', hostnames: ['alias'] }], dnsConfig: { nameservers: ['192.0.2.53'], options: [{ name: 'ndots', value: '1' }] },
        securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000], seccompProfile: { type: 'RuntimeDefault' }, sysctls: [{ name: 'net/ipv4/tcp_syncookies', value: '0' }, { name: 'kernel.shm_rmid_forced', value: '1' }] },
        containers: [testContainer('app', { ...sh('pwd; echo $(FIRST) > /dev/termination-log; exec sleep 100000'), workingDir: '/new/folder', args: [], env: [{ name: 'FIRST', value: 'one' }, { name: 'SECOND', value: '$(FIRST)+$$(FIRST)+$(NONE)' }], securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } })],
      }),
      testPod('open', { shareProcessNamespace: true, hostIPC: true, containers: [testContainer('app', { securityContext: { procMount: 'Unmasked', capabilities: { add: ['NET_ADMIN'], drop: ['CHOWN'] } } })] }),
      testPod('mighty', { hostPID: true, containers: [testContainer('app', { securityContext: { privileged } })] }),
      testPod('noted', { runtimeClassName: 'noted', containers: [testContainer('app', { ...sh('echo said; exec cat'), stdin: true, stdinOnce: false })] }),
      testPod('strict', { securityContext: { runAsUser: 65534, supplementalGroups: [4000], supplementalGroupsPolicy: 'Strict' }, containers: [testContainer('app', { image: grouped })] }),
      testPod('merged', { securityContext: { runAsUser: 65534, supplementalGroups: [4000] }, containers: [testContainer('app', { image: grouped })] }),
      testPod('confined', { containers: [testContainer('app', { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'no-folders.json' } } })] }),
      testPod('armoured', { containers: [testContainer('app', { securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } })] }),
      testPod('missing', { containers: [testContainer('app', { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'none.json' } } })] }),
    );
    await until(() => ['plain', 'asked', 'open', 'mighty', 'confined', 'noted', 'merged'].every(isReady) && stateOf('missing')?.state?.waiting?.reason?.startsWith('CreateContainer') === true && events.some((e) => e.name === 'strange' && e.reason === 'FailedCreatePodSandBox'));
    expect(events.find((e) => e.name === 'strange')?.message).toMatch(/runtime for "none" is configured|[Uu]nknown runtime.*none/);
    if (runtime === 'ctr') expect(can).toMatchObject({ recursiveReadOnlyMounts: true, supplementalGroupsPolicy: true });
    if (runtime === 'ctr') expect((await readFile(join(lab.stateDir, 'noted'), 'utf8')).split('\n')).toEqual(expect.arrayContaining(['create', 'start']));
    if (can.supplementalGroupsPolicy === true) {
      await until(() => isReady('strict'));
      expect(await inside('strict', 'id -G')).toBe('65534 4000\n');
    } else expect(statusOf('strict')).toMatchObject({ phase: 'Failed', reason: 'SupplementalGroupsPolicyNotSupported' });
    if (await enforcesAppArmor()) {
      await until(() => isReady('armoured'));
      expect(await inside('armoured', 'cat /proc/1/attr/current')).toContain('(enforce)');
    } else expect(statusOf('armoured')).toMatchObject({ phase: 'Failed', reason: 'AppArmor', message: 'Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host' });
    expect(await inside('merged', 'id -G')).toBe('65534 4000 4242\n');
    expect(await logs('noted')).toBe('said\n');
    const look = 'b=busybox; $b wc -c < /proc/interrupts; (echo 1 > /proc/sys/net/ipv4/tcp_syncookies) 2>&1; cat /proc/sys/net/ipv4/tcp_syncookies; $b grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/1/status';
    expect(await inside('plain', look)).toMatch(/^0\n.*Read-only file system\n1\nCapEff:.*\nNoNewPrivs:\t0\nSeccomp:\t0\n$/);
    expect(await inside('asked', `${look}; hostname; id -u; id -g; id -G; cat /proc/sys/kernel/shm_rmid_forced; $b grep alias /etc/hosts; $b grep -v search /etc/resolv.conf; echo $SECOND`))
      .toMatch(/^0\n.*\n0\nCapEff:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2\nh\.sub\.default\.svc\.cluster\.local\n1000\n2000\n2000 3000 4000\n1\n192\.0\.2\.9\talias\nnameserver 10\.43\.0\.10\nnameserver 192\.0\.2\.53\noptions ndots:1\none\+\$\(FIRST\)\+\$\(NONE\)\n$/);
    expect(await logs('asked')).toBe('/new/folder\n');
    const [bytes, ...rest] = (await inside('open', 'b=busybox; cat /proc/interrupts | $b wc -c; cat /proc/1/comm; $b readlink /proc/self/ns/ipc; $b grep -c " /proc/sys " /proc/mounts')).split('\n');
    expect(Number(bytes)).toBeGreaterThan(0);
    expect(rest).toEqual(['pause', await readlink('/proc/self/ns/ipc'), '0', '']);
    expect(await inside('mighty', 'busybox readlink /proc/self/ns/pid; test -e /dev/kmsg -o -e /dev/loop-control && echo devices')).toBe(`${await readlink('/proc/self/ns/pid')}\n${privileged ? 'devices\n' : ''}`);
    expect(await inside('confined', 'busybox mkdir /x 2>&1; busybox touch /y && echo fine')).toMatch(/Operation not permitted\nfine\n$/);
    expect(stateOf('missing')?.state?.waiting?.message).toMatch(/seccomp\/none\.json(: no such file| cannot be read)/);
  });

  it('mounts, as they propagate, by parts and read-only', async () => {
    const shared = join(lab.stateDir, 'shared');
    await mkdir(join(shared, 'sub-mounts'), { recursive: true });
    await execOk('mount', ['-t', 'tmpfs', 'tmpfs', shared]);
    await execOk('mount', ['--make-rshared', shared]);
    await mkdir(join(shared, 'from-host'));
    await mkdir(join(shared, 'from-pod'));
    await mkdir(join(shared, 'inner'));
    await execOk('mount', ['-t', 'tmpfs', 'inner', join(shared, 'inner')]);
    state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { greeting: 'hello' } });
    state.set(testPod('mounts', {
      volumes: [{ name: 'host', hostPath: { path: shared } }, { name: 'data', emptyDir: {} }, { name: 'cfg', configMap: { name: 'cfg' } }, { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }],
      containers: [
        testContainer('app', {
          env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
          volumeMounts: [{ name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' }, { name: 'host', mountPath: '/private' }, { name: 'host', mountPath: '/outside', readOnly: true }, { name: 'host', mountPath: '/whole', readOnly: true, recursiveReadOnly: 'IfPossible' }, { name: 'data', mountPath: '/data', subPathExpr: 'of/$(POD)' }, { name: 'data', mountPath: '/all', readOnly: true }, { name: 'cfg', mountPath: '/one', subPath: 'greeting' }, { name: 'memory', mountPath: '/memory' }],
        }),
        testContainer('user', { securityContext: { runAsUser: 1000 }, volumeMounts: [{ name: 'data', mountPath: '/own', subPath: 'made/for/it' }] }),
        testContainer('both', { securityContext: { capabilities: { add: ['SYS_ADMIN'] } }, volumeMounts: [{ name: 'host', mountPath: '/host', mountPropagation: 'Bidirectional' }] }),
      ],
    }));
    state.set(testPod('whole', { volumes: [{ name: 'host', hostPath: { path: shared } }], containers: [testContainer('app', { volumeMounts: [{ name: 'host', mountPath: '/whole', readOnly: true, recursiveReadOnly: 'Enabled' }] })] }));
    await until(() => isReady('mounts') && (can.recursiveReadOnlyMounts === true ? isReady('whole') : stateOf('whole')?.state?.waiting?.reason === 'CreateContainerConfigError'));
    // An older containerd and an older Docker know nothing of it.
    const denied = /Read-only file system/;
    if (can.recursiveReadOnlyMounts === true) expect(await inside('whole', 'touch /whole/inner/x 2>&1')).toMatch(denied);
    else expect(stateOf('whole')?.state?.waiting?.message).toBe('volume "host" requested recursive read-only mode, but it is not supported by the runtime');
    expect(await inside('mounts', 'touch /outside/x 2>&1; touch /outside/inner/x && echo made')).toMatch(/Read-only file system\nmade\n$/);
    expect(denied.test(await inside('mounts', 'touch /whole/inner/x 2>&1'))).toBe(can.recursiveReadOnlyMounts === true);
    expect(stateOf('mounts')?.volumeMounts?.filter(({ readOnly }) => readOnly)).toEqual([['/outside', 'Disabled'], ['/whole', can.recursiveReadOnlyMounts === true ? 'Enabled' : 'Disabled'], ['/all', 'Disabled']]
      .map(([mountPath, recursiveReadOnly]) => ({ name: mountPath === '/all' ? 'data' : 'host', mountPath, readOnly: true, recursiveReadOnly })));
    await execOk('mount', ['-t', 'tmpfs', 'late', join(shared, 'from-host')]);
    await writeFile(join(shared, 'from-host/file'), 'late\n');
    expect(await inside('mounts', 'cat /host/from-host/file; cat /private/from-host/file 2>&1; echo x > /data/file; cat /all/of/mounts/file; busybox touch /all/y 2>&1; cat /one; busybox df -k /memory | busybox awk "END { print \\$2 }"'))
      .toMatch(/^late\n.*No such file.*\nx\n.*Read-only file system\nhello1024\n$/);
    // What is mounted is no path that a container could exchange, and as writable as its volume.
    expect(await inside('mounts', 'echo z > /own/file && echo done', 'user')).toBe('done\n');
    expect(await inside('mounts', 'cat /all/made/for/it/file')).toBe('z\n');
    expect((await mountsBelow(lab.stateDir)).filter((path) => path.includes('/.sub-paths/')).map((path) => path.split('/').slice(-2).join('/')).sort()).toEqual(['app/4', 'user/0']);
    expect(await inside('mounts', 'busybox mount -t tmpfs inner /host/from-pod && echo y > /host/from-pod/file && echo done', 'both')).toBe('done\n');
    expect(await readFile(join(shared, 'from-pod/file'), 'utf8')).toBe('y\n');
    await execOk('umount', [join(shared, 'from-pod')]);
    await execOk('umount', [join(shared, 'from-host')]);
    for (const name of ['mounts', 'whole']) state.remove(pods, 'default', name);
    await until(async () => !(await lab.driver.list(stop.signal)).sandboxes.some(({ podName }) => podName === 'mounts' || podName === 'whole'));
    await until(async () => !(await mountsBelow(lab.stateDir)).some((path) => path.includes('/pods/')));
    await execOk('umount', [join(shared, 'inner')]);
    await execOk('umount', [shared]);
  });

  it('images for volumes, read-only and by parts, as long as they are there', async () => {
    const file = (path: string, text: string): TarEntry => ({ path, type: 'file', mode: 0o644, data: Buffer.from(text) });
    const layers = { files: [file('data/one', 'under'), file('data/two', 'two')], above: [[file('data/one', 'over')], [file('data/.wh.two', '')]] };
    await lab.driver.importImage(Readable.from([imageArchive({ name: stacked, architecture: hostArchitecture(), entrypoint: [], ...layers })]), stop.signal);
    const volumeMounts = [{ name: 'files', mountPath: '/files' }, { name: 'files', mountPath: '/part', subPath: 'data' }, { name: 'program', mountPath: '/program' }];
    state.set(testPod('imaged', {
      volumes: [{ name: 'files', image: { reference: stacked, pullPolicy: 'Never' } }, { name: 'program', image: { reference: helloImage, pullPolicy: 'IfNotPresent' } }],
      initContainers: [testContainer('first', { ...sh('test over = "$(cat /files/data/one)"'), volumeMounts })],
      containers: [testContainer('app', { volumeMounts }), testContainer('other', { volumeMounts, securityContext: { runAsUser: 1000 } })],
    }));
    await until(() => isReady('imaged'));
    const look = async (): Promise<string> => inside('imaged', 'cat /files/data/one; ls /part; touch /files/x 2>&1; touch /part/one 2>&1; /program/bin/busybox echo runs', 'other');
    expect(await look()).toMatch(/^overone\n.*Read-only file system\n.*Read-only file system\nruns\n$/);
    // Who takes the image away takes nothing from the pod; Docker refuses that.
    const listed = (await lab.driver.listImages(stop.signal)).find(({ names }) => names.includes(stacked))!;
    await lab.driver.removeImage(listed, stop.signal).catch((error: unknown) => { expect([runtime, String(error)]).toEqual(['docker', expect.stringMatching(/conflict: unable to remove/)]); });
    expect(await look()).toMatch(/^overone\n.*runs\n$/s);
    expect((await lab.driver.imagesInUse(stop.signal)).has(listed.id)).toBe(runtime === 'docker');
    state.remove(pods, 'default', 'imaged');
    const folder = join(lab.stateDir, 'pods/default_imaged_imaged-uid');
    await until(async () => !(await lab.driver.list(stop.signal)).sandboxes.some(({ podName }) => podName === 'imaged') && await access(folder).then(() => false, () => true));
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
  });

  it('users of their own, where the runtime can', async () => {
    const volumeMounts = [{ name: 'disk', mountPath: '/disk' }, { name: 'disk', mountPath: '/part', subPath: 'a/b' }, { name: 'memory', mountPath: '/memory' }, { name: 'cfg', mountPath: '/cfg' }, { name: 'host', mountPath: '/host' }];
    const volumes = [{ name: 'disk', emptyDir: {} }, { name: 'memory', emptyDir: { medium: 'Memory' } }, { name: 'cfg', configMap: { name: 'owned', defaultMode: 0o400 } }, { name: 'host', hostPath: { path: join(lab.stateDir, 'of-root'), type: 'DirectoryOrCreate' } }];
    state.set(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned', namespace: 'default' }, data: { greeting: 'hello' } },
      testPod('guarded', { hostUsers: false, volumes, containers: [testContainer('app', { volumeMounts, securityContext: { procMount: 'Unmasked', capabilities: { add: ['NET_ADMIN'] } } }), testContainer('other', { volumeMounts })] }),
      testPod('sharing', { hostUsers: false, volumes, securityContext: { runAsUser: 1000, fsGroup: 2000 }, containers: [testContainer('app', { volumeMounts })] }),
    );
    if (can.userNamespaces !== true) {
      const refusal = (name: string): AgentEvent | undefined => events.find((e) => e.name === name && e.reason === 'FailedCreatePodSandBox');
      await until(() => refusal('guarded') !== undefined && refusal('sharing') !== undefined);
      expect(refusal('guarded')?.message).toMatch(/^Failed to create pod sandbox: can't set `spec\.hostUsers: false`, runtime does not support user namespaces: /);
    } else {
      await until(() => isReady('guarded') && isReady('sharing'));
      const firstOf = async (name: string, container?: string): Promise<number> => Number(/^ +0 +(\d+) +65536\n$/.exec(await inside(name, 'cat /proc/self/uid_map', container))?.[1]);
      const [first, second] = [await firstOf('guarded'), await firstOf('sharing')];
      expect([first % 65_536, second % 65_536, Math.min(first, second) >= 65_536, first === second, await firstOf('guarded', 'other')]).toEqual([0, 0, true, false, first]);
      expect(await inside('guarded', 'cat /proc/self/gid_map')).toMatch(new RegExp(`^ +0 +${String(first)} +65536\n$`));
      const look = 'b=busybox; cat /cfg/greeting; echo x > /disk/file && echo y > /memory/file && echo z > /part/file && $b stat -Lc %u:%g /cfg/greeting /disk/file /memory/file /part/file /host';
      expect(await inside('guarded', look)).toBe('hello0:0\n0:0\n0:0\n0:0\n0:0\n');
      expect(await inside('sharing', look)).toBe('hello0:2000\n1000:2000\n1000:2000\n1000:2000\n0:0\n');
      // Whoever is root in there is nobody out here; what is written keeps the ids that it was written with.
      const { id = '' } = (await lab.driver.list(stop.signal, 'guarded-uid')).containers.find(({ name }) => name === 'app') ?? {};
      expect((await execOk('sh', ['-c', `for p in $(cat /sys/fs/cgroup/*/${lab.netns}/podguarded-uid/${id}/cgroup.procs /sys/fs/cgroup/${lab.netns}/podguarded-uid/${id}/cgroup.procs 2>/dev/null); do awk '/^Uid/ { print $2 }' /proc/$p/status; done | sort -u`])).trim()).toBe(String(first));
      expect((await execOk('stat', ['-c', '%u:%g', join(lab.stateDir, 'pods/default_guarded_guarded-uid/.volumes/disk/file')])).trim()).toBe('0:0');
      // It may change its own network, and may not what is the host's.
      expect(await inside('guarded', 'b=busybox; $b ip link set lo down && $b ip link set lo up && echo fine; (echo 1 > /proc/sys/kernel/panic) 2>&1; cat /proc/interrupts | $b head -c 9 | $b wc -c')).toMatch(/^fine\n.*Permission denied\n9\n$/);
    }
    for (const name of ['guarded', 'sharing']) state.remove(pods, 'default', name);
    await until(() => manager.all().every(({ name }) => name !== 'guarded' && name !== 'sharing'));
  });

  it('ways to begin, to fail and to end', async () => {
    const plain = testPod('watched', { volumes: [{ name: 'v', emptyDir: {} }] });
    state.set(
      plain,
      testPod('ruled', { volumes: [{ name: 'v', emptyDir: {} }], restartPolicy: 'Never', containers: [testContainer('app', { ...sh('test -e /v/again && exit 3; touch /v/again; exit 42'), volumeMounts: [{ name: 'v', mountPath: '/v' }], restartPolicy: 'Never', restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }] })] }),
      // It does not hear SIGTERM, and has half a minute; its probe is in more of a hurry.
      testPod('deaf', { terminationGracePeriodSeconds: 30, containers: [testContainer('app', { ...sh('trap "" TERM; while :; do sleep 1; done'), livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1 } })] }),
      testPod('words', { restartPolicy: 'Never', containers: [testContainer('app', { ...sh('echo first; sleep 0.3; echo last words >&2; exit 3'), terminationMessagePolicy: 'FallbackToLogsOnError' })] }),
      testPod('signalled', { terminationGracePeriodSeconds: 20, os: { name: 'linux' }, containers: [testContainer('app', { ...sh('trap "echo usr1; exit 5" USR1; echo up; while :; do sleep 0.1; done'), lifecycle: { stopSignal: 'SIGUSR1', preStop: { sleep: { seconds: 1 } }, postStart: { exec: { command: ['sh', '-c', 'echo hook > /hooked'] } } } })] }),
      testPod('hungry', { restartPolicy: 'Never', containers: [testContainer('app', { ...sh('x=$(head -c 60000000 /dev/zero | tr "\\0" a); echo ${#x}'), resources: { limits: { memory: '24Mi' } } })] }),
    );
    await until(() => ['ruled', 'words', 'hungry'].every((name) => statusOf(name)?.phase === 'Failed') && isReady('signalled') && isReady('watched'));
    expect(stateOf('ruled')).toMatchObject({ restartCount: 1, state: { terminated: { exitCode: 3 } } });
    expect(stateOf('words')?.state?.terminated?.message).toBe('first\nlast words\n');
    // That memory ran out may be told after the exit.
    await until(() => stateOf('hungry')?.state?.terminated?.reason === 'OOMKilled');
    expect(stateOf('hungry')?.state?.terminated?.exitCode).toBe(137);
    await until(() => (stateOf('deaf')?.restartCount ?? 0) >= 1);
    await until(() => statusOf('wordy')?.phase === 'Failed');
    const { id = '' } = (await lab.driver.list(stop.signal, 'many-uid')).containers[0] ?? {};
    await until(async () => ((lab.driver.written ? (await lab.driver.written([id], stop.signal)).get(id) : (await lab.driver.stats(stop.signal)).get(id)?.writable)?.inodes ?? 0) >= 9);
    const usage = await manager.usage(stop.signal, { cgroups: true });
    const pod = usage.pods.find(({ name }) => name === 'many');
    const counted = pod?.containers[0]?.details;
    expect([counted?.processes, counted?.memory?.limitBytes, counted?.quota]).toEqual([1, 64 << 20, expect.objectContaining({ quotaMicros: 50_000, periodMicros: 100_000 })]);
    for (const amount of [counted?.memory?.rssBytes, counted?.memory?.usageBytes, counted?.memory?.pageFaults, counted?.cpu?.systemSeconds]) expect(amount).toBeGreaterThan(0);
    // The pod as a whole has what its container has, within the cgroup of all pods, within the host's.
    const { path = '', memoryBytes = 0, cpuSeconds = 0, details } = pod?.cgroup ?? {};
    expect([pod?.containers[0]?.cgroup?.startsWith(`${path}/`), path.startsWith(`${usage.allPods?.path ?? '?'}/`), usage.host?.path]).toEqual([true, true, '/']);
    expect(pod?.containers[0]?.cgroup).toContain(id);
    expect([details?.quota?.quotaMicros, details?.memory?.limitBytes, counted?.more?.cpuShares, counted?.more?.processLimit]).toEqual([50_000, 64 << 20, 512, 0]);
    expect(memoryBytes).toBeGreaterThanOrEqual(pod?.containers[0]?.memoryBytes ?? Infinity);
    for (const [less, more] of [[0, cpuSeconds], [cpuSeconds, usage.allPods?.cpuSeconds], [memoryBytes, usage.allPods?.memoryBytes], [memoryBytes, usage.host?.details.memory?.usageBytes]] as const) expect(more).toBeGreaterThan(less);
    expect([pod?.network?.interfaces?.map(({ name }) => name), usage.host?.interfaces.length]).toEqual([['eth0'], expect.any(Number)]);
    expect(statusOf('wordy')).toMatchObject({ reason: 'Evicted', message: expect.stringMatching(/^(Pod|Container app).* ephemeral.* storage/) as string });
    expect(await inside('signalled', 'cat /hooked')).toBe('hook\n');
    const signalled = state.list(pods).find((p) => p.metadata?.name === 'signalled')!;
    state.set({ ...signalled, metadata: { ...signalled.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 20 } });
    await until(() => manager.all().some((r) => r.name === 'signalled' && r.gone));
    expect(stateOf('signalled')?.state?.terminated?.exitCode).toBe(5);

    state.set({ ...plain, spec: { ...plain.spec!, ephemeralContainers: [{ ...testContainer('debug', sh('sleep 4242')), targetContainerName: 'app' }] } });
    await until(() => stateOf('watched', 'debug')?.state?.running !== undefined);
    expect((await inside('watched', 'cat /proc/1/cmdline', 'debug')).split('\0')).toEqual(['sleep', '100000', '']);
  });

  it('or are told what is wrong, by an Event and the state of the container', async () => {
    const wrong: readonly (readonly [string, Parameters<typeof testContainer>[1], RegExp])[] = [
      ['no-image', { image: 'absent:1', imagePullPolicy: 'Never' }, /not present with pull policy of Never/],
      ['no-command', { command: ['/none'] }, /\/none.*no such file/],
      ['no-program', { command: ['/etc/passwd'] }, /\/etc\/passwd.*permission denied/],
      ['no-folder', { workingDir: '/etc/passwd' }, /\/etc\/passwd.*not a directory/],
      ['no-user', { image: ghostly }, /passwd/],
      ['as-root', { securityContext: { runAsNonRoot: true } }, /container has runAsNonRoot and image will run as root/],
      ['no-key', { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'none' } } }] }, /couldn't find key none in ConfigMap default\/cfg/],
      ['no-map', { envFrom: [{ secretRef: { name: 'none' } }] }, /secret "none" not found/],
      ['no-profile', { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: '../none.json' } } }, /"\.\.\/none\.json" is no path below/],
      ['no-volume', { volumeMounts: [{ name: 'absent', mountPath: '/v' }] }, /image "absent:1" is not present with pull policy of Never/],
      ['no-part', { volumeMounts: [{ name: 'image', mountPath: '/v', subPath: 'none' }] }, /subPath "none" is not in the image of the volume/],
      ['no-room', { volumeMounts: [{ name: 'sealed', mountPath: '/v', subPath: 'a' }] }, /failed to create subPath directory "a" in the volume: E\w+: /],
      ['no-path', { volumeMounts: [{ name: 'v', mountPath: '/v', subPath: '../up' }] }, /subPath "\.\.\/up" must not leave the volume/],
    ];
    state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { greeting: 'hello' } });
    state.set(...wrong.map(([name, change]) => testPod(name, { volumes: [{ name: 'v', emptyDir: {} }, { name: 'absent', image: { reference: 'absent:1', pullPolicy: 'Never' } }, { name: 'image', image: { reference: helloImage } }, { name: 'sealed', hostPath: { path: '/proc/sys' } }], containers: [testContainer('app', change)] })));
    for (const [name, , words] of wrong) {
      const reason = /^(ErrImageNeverPull|(Create|Run)Container(Config)?Error|CrashLoopBackOff)$/;
      await until(() => reason.test(stateOf(name)?.state?.waiting?.reason ?? '') && words.test(JSON.stringify([stateOf(name)?.state, stateOf(name)?.lastState]).replaceAll('\\"', '"')));
      expect(events.filter((e) => e.name === name && e.type === 'Warning' && words.test(e.message)).map((e) => e.reason)).not.toEqual([]);
    }
  });

  it('resources, of containers and of the pod', async () => {
    state.set(
      testPod('whole', { resources: { requests: { cpu: '200m', memory: '48Mi' }, limits: { cpu: '300m', memory: '96Mi' } }, containers: [testContainer('app'), testContainer('other', { resources: { limits: { memory: '32Mi', cpu: '100m' } } })] }),
      testPod('heavy', { runtimeClassName: '', overhead: { cpu: '100m', memory: '16Mi' }, containers: [testContainer('app', { resources: { requests: { cpu: '200m', memory: '64Mi' }, limits: { cpu: '200m', memory: '64Mi' } } })] }),
    );
    await until(() => isReady('whole') && isReady('heavy'));
    const memoryOf = async (path: string): Promise<string> => (await execOk('sh', ['-c', `cat /sys/fs/cgroup/memory${path}/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup${path}/memory.max`])).trim();
    const quotaOf = async (path: string): Promise<string> => (await execOk('sh', ['-c', `cat /sys/fs/cgroup/cpu${path}/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup${path}/cpu.max`])).trim();
    const pod = (name: string): string => `/${lab.netns}/pod${name}-uid`;
    const of = (name: string, container: string): string => `${pod(name)}/${stateOf(name, container)?.containerID?.replace(/^\w+:\/\//, '') ?? ''}`;
    expect([await memoryOf(pod('whole')), await quotaOf(pod('whole'))]).toEqual([String(96 << 20), '30000']);
    expect([await memoryOf(of('whole', 'other')), await quotaOf(of('whole', 'other'))]).toEqual([String(32 << 20), '10000']);
    expect([await memoryOf(pod('heavy')), await quotaOf(pod('heavy'))]).toEqual([String(80 << 20), '30000']);
    expect([await memoryOf(of('heavy', 'app')), await quotaOf(of('heavy', 'app'))]).toEqual([String(64 << 20), '20000']);
    expect(statusOf('heavy')?.qosClass).toBe('Guaranteed');
  });

  it('huge pages, no more than they said', async () => {
    const reserved = '/proc/sys/vm/nr_hugepages';
    const before = (await readFile(reserved, 'utf8')).trim();
    await writeFile(reserved, String(Number(before) + 4));
    try {
      const limits = { 'hugepages-2Mi': '4Mi', memory: '32Mi', cpu: '100m' };
      state.set(testPod('huge', { volumes: [{ name: 'pages', emptyDir: { medium: 'HugePages' } }], containers: [testContainer('app', { resources: { limits }, volumeMounts: [{ name: 'pages', mountPath: '/pages' }] })] }));
      await until(() => isReady('huge'));
      expect(await inside('huge', 'b=busybox; $b grep " /pages " /proc/mounts; $b fallocate -l 4194304 /pages/file && $b stat -c %b /pages/file; $b fallocate -l 2097152 /pages/more 2>&1'))
        .toMatch(/ \/pages hugetlbfs rw,.*pagesize=2M,size=(4M|4194304).*\n8192\nfallocate: .*No space left on device\n$/);
      state.remove(pods, 'default', 'huge');
      await until(() => manager.all().every(({ name }) => name !== 'huge'));
    } finally {
      await writeFile(reserved, before);
    }
  });
});
