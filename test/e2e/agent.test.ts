import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Container, Event, Pod, RuntimeClass } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import { hostInventory, inventoryDiff } from '../support/lab/inventory.ts';

type PodSpec = NonNullable<Pod['spec']>;
type Volume = NonNullable<PodSpec['volumes']>[number];

/** One agent on a real containerd, and everything that can go wrong with its pods, its files, its runtime and itself. */
describe('an agent', () => {
  let cluster: Cluster;
  const image = 'cleat-hello:1';
  const stateDir = '/var/lib/cleat';
  const manifests = '/var/lib/manifests';
  const patience = ['--default-not-ready-toleration-seconds=600', '--default-unreachable-toleration-seconds=600'];

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 1, controlPlaneFlags: patience, agentFlags: [`--pod-manifest-path=${manifests}`], prepareHost: async (prepared) => { await prepared.sh(`mkdir -p ${manifests}`); } });
    await cluster.importImage();
  });
  afterAll(async () => { await cluster?.destroy(); });

  const sh = (script: string): Pick<Container, 'command'> => ({ command: ['sh', '-c', script] });
  const pod = (name: string, container: Partial<Container> = {}, spec: Partial<PodSpec> = {}): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image, ...container }], ...spec },
  });
  const withVolume = (name: string, volume: Omit<Volume, 'name'>): Pod => pod(name, { volumeMounts: [{ name: 'v', mountPath: '/v' }] }, { volumes: [{ name: 'v', ...volume }] });
  const get = (name: string): Promise<Pod> => cluster.json<Pod>(['get', 'pod', name]);
  const all = async (): Promise<Pod[]> => (await cluster.json<{ items: Pod[] }>(['get', 'pods'])).items;
  const stateOf = (p: Pod) => p.status?.containerStatuses?.[0];
  const isReady = (p: Pod): boolean => p.metadata?.deletionTimestamp === undefined && p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
  const until = (name: string, condition: (p: Pod) => boolean, timeoutMs = 30_000): Promise<Pod> => eventually(async () => {
    const found = await get(name);
    return condition(found) ? found : false;
  }, { what: `pod ${name}`, timeoutMs, intervalMs: 100, explain: () => cluster.diagnostics() });
  const eventsOf = async (name: string, kind = 'Pod'): Promise<Event[]> => (await cluster.json<{ items: Event[] }>(['get', 'events', '-A', '--field-selector', `involvedObject.name=${name},involvedObject.kind=${kind}`])).items;
  const reasonsOf = async (name: string): Promise<(string | undefined)[]> => (await eventsOf(name)).map((e) => e.reason);
  const host = () => cluster.agentHost(0);
  const inside = async (name: string, script: string): Promise<string> => host().execOk('ctr', [
    '-a', cluster.containerdSocket, '-n', 'k8s.io', 'tasks', 'exec', '--exec-id', `t${Math.random().toString(36).slice(2)}`, stateOf(await get(name))?.containerID?.slice('containerd://'.length) ?? '', 'sh', '-c', script,
  ]);
  const remove = (...names: string[]): Promise<string> => cluster.kubectl(['delete', 'pod', ...names, '--now']);
  const restartAgent = async (): Promise<void> => {
    await cluster.stopAgent(0, 'SIGKILL');
    cluster.startAgent(0);
  };
  /** Ids, addresses and restart counts: what may not change for a healthy pod. */
  const identities = async (names: readonly string[]): Promise<unknown[]> => (await all()).filter((p) => names.includes(p.metadata?.name ?? '')).map((p) => [p.metadata?.uid, p.status?.podIP, stateOf(p)?.containerID, stateOf(p)?.restartCount]);
  const containerd = async (): Promise<string> => (await host().sh(`cut -d' ' -f1 ${cluster.containerdSocket.replace(/sock$/, 'pid')}`)).trim();

  describe('tells in Kubernetes\' words what is wrong with a pod', () => {
    const waiting = (reason: string, message: RegExp, event: [string, RegExp] = ['Failed', message]) => ({ reason, message, event });
    const mount = (message: RegExp) => waiting('ContainerCreating', /^$/, ['FailedMount', message]);
    const secure = (securityContext: NonNullable<PodSpec['securityContext']>): Partial<PodSpec> => ({ securityContext });
    const cases: [Pod, ReturnType<typeof waiting>][] = [
      [pod('no-image', { image: 'no.such.registry.invalid/image:1', imagePullPolicy: 'IfNotPresent' }), waiting('(Err|Image)ImagePull|ImagePullBackOff', /no\.such\.registry/, ['Failed', /Failed to pull image "no\.such/])],
      [pod('never-pulled', { image: 'absent:1', imagePullPolicy: 'Never' }), waiting('ErrImageNeverPull', /not present with pull policy of Never/, ['ErrImageNeverPull', /not present/])],
      [pod('no-name', { image: 'NOT AN IMAGE' }), waiting('InvalidImageName', /couldn't parse image name/, ['InspectFailed', /invalid reference format/])],
      [pod('no-command', { command: ['/none'] }), waiting('RunContainerError|CrashLoopBackOff', /none|back-off/, ['Failed', /stat \/none: no such file/])],
      [pod('no-key', { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'kube-root-ca.crt', key: 'none' } } }] }), waiting('CreateContainerConfigError', /couldn't find key none in ConfigMap default\/kube-root-ca\.crt/)],
      [pod('no-map', { envFrom: [{ configMapRef: { name: 'none' } }] }), waiting('CreateContainerConfigError', /configmap "none" not found/)],
      [pod('as-root', {}, secure({ runAsNonRoot: true })), waiting('CreateContainerConfigError', /container has runAsNonRoot and image will run as root/)],
      [pod('no-fqdn', {}, { subdomain: 's'.repeat(60), setHostnameAsFQDN: true }), waiting('ContainerCreating', /^$/, ['FailedCreatePodSandBox', /FQDN no-fqdn\.s+\.default\.svc\.cluster\.local is too long/])],
      [pod('no-class', {}, { runtimeClassName: 'strange' }), waiting('ContainerCreating', /^$/, ['FailedCreatePodSandBox', /no runtime for "none" is configured/])],
      [pod('no-profile', {}, secure({ seccompProfile: { type: 'Localhost', localhostProfile: 'none.json' } })), waiting('CreateContainerError', /seccomp\/none\.json: no such file/)],
      [pod('no-user-namespace', {}, { hostUsers: false }), waiting('ContainerCreating', /^$/, ['FailedCreatePodSandBox', /can't set `spec\.hostUsers: false`, runtime does not support user namespaces: that takes containerd from 2\.0 on/])],
      [pod('crashing', { command: ['sh', '-c', 'echo last words; exit 3'], terminationMessagePolicy: 'FallbackToLogsOnError' }), waiting('CrashLoopBackOff', /^back-off \d+s restarting failed container=c pod=crashing_default\(/, ['BackOff', /^Back-off restarting failed container c in pod crashing_default\(/])],
      [withVolume('no-path', { hostPath: { path: '/none', type: 'Directory' } }), mount(/hostPath type check failed: \/none is not a directory/)],
      [withVolume('no-write', { hostPath: { path: '/proc/none/deeper', type: 'DirectoryOrCreate' } }), mount(/ENOENT/)],
      [withVolume('no-map-volume', { configMap: { name: 'none' } }), mount(/MountVolume\.SetUp failed for volume "v" : configmap "none" not found/)],
      [withVolume('no-type', { iscsi: { targetPortal: 'x', iqn: 'iqn.2000-01.x:y', lun: 0 } }), mount(/this type of volume is not supported/)],
    ];
    const strange: RuntimeClass = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'strange' }, handler: 'none' };
    beforeAll(async () => { await cluster.apply([strange, ...cases.map(([p]) => p)]); });
    afterAll(async () => { await remove(...cases.map(([p]) => p.metadata?.name ?? '')); });

    it.each(cases.map(([p, expected]) => [p.metadata?.name ?? '', expected] as const))('%s', async (name, { reason, message, event: [eventReason, eventMessage] }) => {
      const found = await until(name, (p) => new RegExp(`^(${reason})$`).test(stateOf(p)?.state?.waiting?.reason ?? ''));
      expect(stateOf(found)?.state?.waiting?.message ?? '').toMatch(message);
      await eventually(async () => (await eventsOf(name)).some((e) => e.reason === eventReason && eventMessage.test(e.message ?? '')), { what: `event ${eventReason}`, explain: async () => JSON.stringify(await eventsOf(name)) });
    });
  });

  it('refuses a pod that may not run here, and sets what may be set', async () => {
    await cluster.apply([pod('unsafe', {}, { securityContext: { sysctls: [{ name: 'kernel.panic', value: '1' }] } }), pod('safe', sh('sleep 1000'), { securityContext: { sysctls: [{ name: 'net.ipv4.tcp_syncookies', value: '0' }] } })]);
    expect((await until('unsafe', (p) => p.status?.phase === 'Failed')).status).toMatchObject({ reason: 'SysctlForbidden', message: 'Pod was rejected: forbidden sysctl: "kernel.panic" not allowlisted' });
    await eventually(async () => (await reasonsOf('unsafe')).includes('SysctlForbidden'), { what: 'the event' });
    await until('safe', isReady);
    expect(await inside('safe', 'cat /proc/sys/net/ipv4/tcp_syncookies')).toBe('0\n');
    // Put here by hand, past the scheduler.
    const bound = (name: string, disk: string): Pod => pod(name, sh('sleep 1000'), { nodeName: host().name, nodeSelector: { disk } });
    await cluster.kubectl(['label', 'node', host().name, 'disk=flash']);
    await cluster.apply([bound('elsewhere', 'rust'), bound('here', 'flash')]);
    expect((await until('elsewhere', (p) => p.status?.phase === 'Failed')).status).toMatchObject({ reason: 'NodeAffinity', message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" });
    await until('here', isReady);
    const [event] = (await eventsOf('safe')).filter((e) => e.reason === 'Started');
    expect(event).toMatchObject({ source: { component: 'kubelet', host: host().name }, involvedObject: { fieldPath: 'spec.containers{c}' } });
    await remove('unsafe', 'safe', 'elsewhere', 'here');
  });

  it('brings pods to their end by restart policy and deadline, and names the cause', async () => {
    await cluster.apply([
      pod('done', sh('exit 0'), { restartPolicy: 'OnFailure' }), pod('failed', sh('echo why > /dev/termination-log; exit 3'), { restartPolicy: 'Never' }),
      pod('late', sh('sleep 1000'), { activeDeadlineSeconds: 2 }),
      // Bounded: it asks for 60 MB where 24 are allowed.
      pod('hungry', { ...sh('x=$(head -c 60000000 /dev/zero | tr "\\0" a); echo ${#x}'), resources: { limits: { memory: '24Mi' } } }, { restartPolicy: 'Never' }),
      pod('bad-init', {}, { restartPolicy: 'Never', initContainers: [{ name: 'init', image, ...sh('exit 7') }] }),
    ]);
    expect(stateOf(await until('done', (p) => p.status?.phase === 'Succeeded'))?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(stateOf(await until('failed', (p) => p.status?.phase === 'Failed'))?.state?.terminated).toMatchObject({ exitCode: 3, reason: 'Error', message: 'why\n' });
    expect(stateOf(await until('hungry', (p) => p.status?.phase === 'Failed'))?.state?.terminated).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    expect((await until('bad-init', (p) => p.status?.phase === 'Failed')).status?.initContainerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 7 });
    expect((await until('late', (p) => p.status?.phase === 'Failed')).status).toMatchObject({ reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' });
    expect(await reasonsOf('late')).toContain('DeadlineExceeded');
    await remove('done', 'failed', 'late', 'hungry', 'bad-init');
  });

  it('probes pods, and restarts what is not alive', async () => {
    const soon = { periodSeconds: 1 };
    await cluster.apply([
      pod('answers', { livenessProbe: { httpGet: { path: '/', port: 8080 }, ...soon }, readinessProbe: { tcpSocket: { port: 8080 }, ...soon } }),
      pod('unready', { readinessProbe: { httpGet: { path: '/none', port: 8080 }, ...soon } }),
      pod('sick', { ...sh('sleep 1000'), livenessProbe: { exec: { command: ['false'] }, ...soon, failureThreshold: 2 } }),
      // Its liveness probe would kill it at once; the startup probe keeps that back.
      pod('slow', { ...sh('sleep 3; touch /up; sleep 1000'), startupProbe: { exec: { command: ['cat', '/up'] }, ...soon, failureThreshold: 60 }, livenessProbe: { exec: { command: ['cat', '/up'] }, ...soon, failureThreshold: 1 } }),
    ]);
    await until('answers', isReady);
    const slow = await until('slow', isReady);
    expect(Date.parse(slow.status?.conditions?.find((c) => c.type === 'Ready')?.lastTransitionTime ?? '') - Date.parse(stateOf(slow)?.state?.running?.startedAt ?? '')).toBeGreaterThanOrEqual(2000);
    expect(stateOf(slow)?.restartCount).toBe(0);
    await until('sick', (p) => (stateOf(p)?.restartCount ?? 0) >= 1);
    expect(await reasonsOf('sick')).toEqual(expect.arrayContaining(['Unhealthy', 'Killing']));
    expect(isReady(await get('unready'))).toBe(false);
    expect((await eventsOf('unready')).find((e) => e.reason === 'Unhealthy')?.message).toBe('Readiness probe failed: HTTP probe failed with statuscode: 404');
    await remove('answers', 'unready', 'sick', 'slow');
  });

  it('sets limits, users, host paths and the host\'s network', async () => {
    await host().sh('mkdir -p /var/lib/given && echo given > /var/lib/given/file');
    await cluster.apply([
      pod('limited', { ...sh('sleep 1000'), resources: { requests: { cpu: '100m' }, limits: { cpu: '250m', memory: '64Mi' } } }),
      pod('plain-user', {
        ...sh('sleep 1000'), volumeMounts: [{ name: 'disk', mountPath: '/disk' }, { name: 'memory', mountPath: '/memory' }],
        securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      }, { securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000 }, volumes: [{ name: 'disk', emptyDir: {} }, { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }] }),
      pod('on-host', { ...sh('sleep 1000'), volumeMounts: [{ name: 'v', mountPath: '/v', readOnly: true }] }, { hostNetwork: true, volumes: [{ name: 'v', hostPath: { path: '/var/lib/given', type: 'Directory' } }] }),
    ]);
    const limited = await until('limited', isReady);
    const id = stateOf(limited)?.containerID?.slice('containerd://'.length) ?? '';
    const limitsOf = async (cgroup: string): Promise<string[]> => (await host().sh(`for f in $(find /sys/fs/cgroup -path '*${cgroup}/*' -prune \\( -name memory.limit_in_bytes -o -name memory.max -o -name cpu.cfs_quota_us -o -name cpu.max \\)); do cat $f; done`)).trim().split('\n').sort();
    for (const cgroup of [`/kubepods/pod${limited.metadata?.uid ?? ''}`, `/kubepods/pod${limited.metadata?.uid ?? ''}/${id}`]) expect(await limitsOf(cgroup)).toEqual([expect.stringMatching(/^25000( 100000)?$/), '67108864']);
    // In place: the same container, with more.
    const wanted = await get('limited');
    Object.assign(wanted.spec?.containers[0] ?? {}, { resources: { requests: { cpu: '200m', memory: '64Mi' }, limits: { cpu: '500m', memory: '96Mi' } } });
    await cluster.kubectl(['replace', '--raw', '/api/v1/namespaces/default/pods/limited/resize', '-f', '-'], { input: JSON.stringify(wanted) });
    const grown = await until('limited', (p) => stateOf(p)?.resources?.limits?.['memory'] === '96Mi' && p.status?.conditions?.every(({ type }) => !type.startsWith('PodResize')) === true);
    expect(stateOf(grown)).toMatchObject({ containerID: `containerd://${id}`, restartCount: 0, allocatedResources: { cpu: '200m' } });
    for (const cgroup of [`/kubepods/pod${limited.metadata?.uid ?? ''}`, `/kubepods/pod${limited.metadata?.uid ?? ''}/${id}`]) expect(await limitsOf(cgroup)).toEqual(['100663296', expect.stringMatching(/^50000( 100000)?$/)]);
    await until('plain-user', isReady);
    expect(await inside('plain-user', 'id -u; id -g; touch /x 2>&1; touch /disk/f /memory/f; stat -c %g /disk/f /memory/f; grep -E "CapEff|NoNewPrivs" /proc/1/status; dd if=/dev/zero of=/memory/big bs=1k count=2000 2>/dev/null || echo full'))
      .toMatch(/^1000\n2000\ntouch: \/x: Read-only file system\n3000\n3000\nCapEff:\s+0+\nNoNewPrivs:\s+1\nfull\n$/);
    const onHost = await until('on-host', isReady);
    expect(onHost.status?.podIP).toBe(host().address);
    expect(await inside('on-host', 'hostname; cat /v/file; touch /v/x 2>&1; true')).toMatch(new RegExp(`^${host().name}\ngiven\ntouch: .*Read-only`));
    await remove('limited', 'plain-user', 'on-host');
  });

  it('ends pods gracefully: hook, SIGTERM, then SIGKILL when the time is over; sidecars last', async () => {
    const trap = (word: string): string => `trap 'echo ${word}; exit 0' TERM; echo up; while :; do sleep 0.1; done`;
    await cluster.apply([
      pod('nice', { ...sh(trap('term')), lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo bye > /proc/1/fd/1'] } } } }, {
        terminationGracePeriodSeconds: 30, initContainers: [{ name: 'side', image, restartPolicy: 'Always', ...sh(trap('side')) }],
      }),
      pod('rude', sh('trap "" TERM; while :; do sleep 0.1; done'), { terminationGracePeriodSeconds: 2 }),
    ]);
    await until('nice', isReady);
    await until('rude', isReady);
    // As collectors of logs find them.
    const logs = (script: string): Promise<string> => cluster.agentHost(0).sh(script);
    expect((await logs('cat /var/log/pods/default_nice_*/*/0.log /var/log/containers/nice_default_*.log')).split('\n').filter((line) => line.endsWith(' stdout F up'))).toHaveLength(4);
    const following = cluster.kubectl(['logs', '-f', '--all-containers', 'nice']);
    const began = Date.now();
    await Promise.all([cluster.kubectl(['delete', 'pod', 'nice']), cluster.kubectl(['delete', 'pod', 'rude'])]);
    expect(Date.now() - began).toBeGreaterThan(1900);
    expect(Date.now() - began).toBeLessThan(8000);
    const lines = (await following).trim().split('\n');
    expect(lines.filter((line) => line !== 'up')).toEqual(['bye', 'term', 'side']);
    await eventually(async () => (await logs('ls /var/log/pods /var/log/containers | grep -E "nice|rude" || true')) === '', { what: 'logs go with their pods', timeoutMs: 10_000 });
  });

  it('restarts what crashes with growing waits, and counts on over restarts of itself and of the host', async () => {
    await cluster.apply(pod('crash', sh('echo attempt; echo last words > /dev/termination-log; exit 3')));
    const twice = await until('crash', (p) => stateOf(p)?.state?.waiting?.message?.startsWith('back-off 20s') === true);
    expect(stateOf(twice)).toMatchObject({ restartCount: 2, lastState: { terminated: { exitCode: 3, message: 'last words\n' } } });
    const ended = Date.parse(stateOf(twice)?.lastState?.terminated?.finishedAt ?? '');
    expect(ended - Date.parse(twice.status?.startTime ?? '')).toBeGreaterThanOrEqual(9000); // at once, then after 10 s
    expect(await cluster.kubectl(['logs', 'crash', '--previous'])).toBe('attempt\n');
    await restartAgent();
    await until('crash', (p) => stateOf(p)?.restartCount === 3);

    // Power off and on: the count goes on, and the dead sandbox gives its address back.
    await cluster.crashAgentHost(0);
    cluster.startAgent(0);
    await until('crash', (p) => (stateOf(p)?.restartCount ?? 0) >= 4);
    expect(await cluster.kubectl(['logs', 'crash', '--previous'])).toBe('attempt\n');
    expect((await hostInventory(host(), cluster.containerdSocket))['address leases']).toHaveLength(2); // one, and a lock
    await remove('crash');
  });

  it('runs pods of files, shows them, and ends them with their files', async () => {
    const name = `own-${host().name}`;
    const manifest = (word: string): object => ({ ...pod('own', sh(`echo ${word}; sleep 1000`)) });
    const write = (content: object): Promise<string> => host().sh(`cat > ${manifests}/.own.new && mv ${manifests}/.own.new ${manifests}/own.json`, { input: JSON.stringify(content) });
    await write(manifest('one'));
    const shown = await eventually(async () => (await all()).find((p) => p.metadata?.name === name && isReady(p)) ?? false, { what: 'the mirror', timeoutMs: 45_000, explain: () => cluster.diagnostics() });
    expect(shown.metadata?.annotations).toMatchObject({ 'kubernetes.io/config.source': 'file', 'kubernetes.io/config.mirror': shown.metadata?.annotations?.['kubernetes.io/config.hash'] as string });
    expect(await cluster.kubectl(['logs', name])).toBe('one\n');
    expect(await cluster.kubectl(['exec', name, '--', 'echo', 'hi'])).toBe('hi\n');
    const container = stateOf(shown)?.containerID;
    // Deleted in the API it is back at once, and was never stopped.
    await cluster.kubectl(['delete', 'pod', name, '--wait=false']);
    const again = await eventually(async () => (await all()).find((p) => p.metadata?.name === name && p.metadata.uid !== shown.metadata?.uid && isReady(p)) ?? false, { what: 'the mirror to be back', timeoutMs: 45_000, explain: () => cluster.diagnostics() });
    expect(stateOf(again)?.containerID).toBe(container);
    await write(manifest('two'));
    await eventually(async () => (await cluster.kubectlResult(['logs', name])).stdout === 'two\n', { what: 'the changed pod', timeoutMs: 45_000, explain: () => cluster.diagnostics() });
    await host().sh(`rm ${manifests}/own.json`);
    await eventually(async () => (await all()).every((p) => p.metadata?.name !== name) && (await cluster.runningContainers(host())).length === 0, { what: 'the pod to end', timeoutMs: 45_000, explain: () => cluster.diagnostics() });
  });

  it('puts back what another program removed, and leaves alone what is not its own', async () => {
    await cluster.apply([{ ...pod('web'), metadata: { name: 'web', labels: { app: 'web' } } }, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } }]);
    await until('web', isReady);
    const address = await cluster.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
    const answers = async (): Promise<boolean> => (await host().exec('timeout', ['2', 'busybox', 'wget', '-qO-', `http://${address}/`])).stdout.includes('Hello from web');
    await eventually(answers, { what: 'the Service' });
    await host().sh('nft flush ruleset; rm /var/lib/cleat/cni/net.d/*');
    expect(await answers()).toBe(false);
    await host().sh("nft add table inet foreign; nft add chain inet foreign c '{ type filter hook input priority 5; policy accept; }'; nft add rule inet foreign c tcp dport 9 counter drop; iptables -N FOREIGN; iptables -A INPUT -p tcp --dport 7 -j FOREIGN");
    const foreign = (): Promise<string> => host().sh('nft -s list table inet foreign; iptables-save | grep -v "^#"');
    const before = await foreign();
    await eventually(answers, { what: 'the Service to be back', timeoutMs: 45_000, intervalMs: 500 });
    expect((await eventsOf(host().name, 'Node')).map((e) => e.reason)).toContain('ServiceRulesRemoved');
    await eventually(() => host().sh('cat /var/lib/cleat/cni/net.d/*'), { what: 'the CNI configuration', timeoutMs: 45_000, intervalMs: 500 });
    await restartAgent();
    await cluster.waitForNodes();
    await cluster.apply(pod('another', { ports: [{ containerPort: 8080, hostPort: 18080 }] }));
    await until('another', isReady, 45_000);
    await remove('another', 'web');
    expect(await foreign()).toBe(before);
    await cluster.kubectl(['delete', 'service', 'web']);
  });

  describe('with pods that are well', () => {
    const names = ['one', 'two', 'three'];
    let before: unknown[];
    beforeAll(async () => {
      await cluster.apply(names.map((name) => pod(name, { readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 } })));
      for (const name of names) await until(name, isReady);
      before = await identities(names);
    });
    afterAll(async () => { await remove(...names); });
    const unharmed = async (): Promise<void> => {
      await cluster.waitForNodes();
      for (const name of names) await until(name, isReady);
      expect(await identities(names)).toEqual(before);
    };

    it('leaves them alone when its checkpoint is damaged and nobody can be asked', async () => {
      const containers = await cluster.runningContainers(host());
      await cluster.stopControlPlane('SIGKILL');
      for (const damage of ['sed -i s/one/0ne/ $(ls checkpoint.* | tail -1)', 'rm checkpoint.*']) {
        await cluster.stopAgent(0, 'SIGKILL');
        await host().sh(`cd ${stateDir}/agent/checkpoint; ${damage}`);
        await cluster.startAgent(0).waitForOutput(/not connected to the control plane/);
        expect(await cluster.runningContainers(host())).toEqual(containers);
      }
      await cluster.startControlPlane();
      await unharmed();
    });

    it('stops soon what nobody wants when its checkpoint is lost', async () => {
      await cluster.apply([pod('stray'), pod('again')]);
      const uid = (await until('again', isReady)).metadata?.uid;
      await until('stray', isReady);
      await cluster.stopAgent(0, 'SIGKILL');
      await host().sh(`rm -r ${stateDir}/agent/checkpoint`);
      await cluster.kubectl(['delete', 'pod', 'stray', 'again', '--force', '--grace-period=0']);
      await cluster.apply(pod('again'));
      cluster.startAgent(0);
      // Two containers a pod; the one of the same name is another pod.
      await eventually(async () => (await cluster.runningContainers(host())).length === (names.length + 1) * 2, { what: 'the orphans to end', timeoutMs: 20_000, explain: () => cluster.diagnostics() });
      expect((await until('again', isReady)).metadata?.uid).not.toBe(uid);
      await remove('again');
      await unharmed();
    });

    it('refuses to run twice on one state directory', async () => {
      const second = await host().exec(join(import.meta.dirname, '../../cleat'), ['agent', `--server=${cluster.server}`, `--node-name=${host().name}`]);
      expect(second.exitCode).toBe(1);
      expect(second.stderr).toMatch(/another agent \(process \d+\) uses the state directory \/var\/lib\/cleat; stop it first/);
      await unharmed();
    });

    it('deletes pods although the disk is full', async () => {
      await cluster.apply(pod('on-full-disk'));
      await until('on-full-disk', isReady);
      await cluster.stopAgent(0, 'SIGKILL');
      const folder = `${stateDir}/agent/checkpoint`;
      await host().sh(`cp -a ${folder} /run/copy; mount -t tmpfs -o size=800k tmpfs ${folder}; cp -a /run/copy/. ${folder}/`);
      cluster.startAgent(0);
      await cluster.waitForNodes();
      await host().sh(`dd if=/dev/zero of=${folder}/filler bs=1k count=900 2>/dev/null || true`);
      await remove('on-full-disk');
      await cluster.stopAgent(0, 'SIGKILL');
      await host().sh(`rm ${folder}/filler; rm -rf /run/copy; mkdir /run/copy; cp -a ${folder}/. /run/copy/; umount ${folder}; rm -f ${folder}/*; cp -a /run/copy/. ${folder}/`);
      cluster.startAgent(0);
      await unharmed();
    });

    it('keeps them through a containerd that is killed, hangs, or loses its socket', async () => {
      const first = await containerd();
      await host().sh(`kill -9 ${first}`);
      const found = await eventually(async () => { const now = await containerd().catch(() => first); return now !== first && now; }, { what: 'another containerd', timeoutMs: 30_000 });
      // Once more, between the moment when an agent finds it running and the one from which it is kept running.
      await restartAgent();
      await cluster.agent(0)?.waitForOutput('adopted running containerd', 30_000);
      await host().sh(`kill -9 ${found}`);
      await cluster.apply(pod('later'));
      await until('later', isReady);
      const hung = await containerd();
      await host().sh(`kill -STOP ${hung}`);
      await restartAgent();
      const removal = cluster.kubectl(['delete', 'pod', 'later', '--now']);
      await cluster.agent(0)?.waitForOutput(/waiting for the container runtime|does not answer/, 30_000);
      await host().sh(`kill -CONT ${hung}`);
      await removal;
      await host().sh(`rm ${cluster.containerdSocket}`);
      await restartAgent();
      await unharmed();
    });

    it('replaces a sandbox that died, and only that', async () => {
      await cluster.apply(pod('hit'));
      const { metadata } = await until('hit', isReady);
      const ctr = `ctr -a ${cluster.containerdSocket} -n k8s.io`;
      await host().sh(`for s in $(${ctr} containers ls -q 'labels."io.kubernetes.pod.uid"==${metadata?.uid ?? ''},labels."io.cri-containerd.kind"==sandbox'); do kill -9 $(${ctr} tasks ls | awk -v s=$s '$1 == s { print $2 }'); done`);
      await until('hit', (p) => isReady(p) && stateOf(p)?.restartCount === 1);
      expect(await reasonsOf('hit')).toContain('SandboxChanged');
      expect((await hostInventory(host(), cluster.containerdSocket))['address leases']).toHaveLength(names.length + 2);
      await remove('hit');
      await unharmed();
    });
  });

  it('is killed at any moment, as are containerd and shims, and the host settles to what is wanted without a trace of the rest', async () => {
    const seed = Number(process.env['CLEAT_TEST_SEED'] ?? 20_261);
    console.log(`seed ${String(seed)}`);
    const random = generator(seed);
    const rounds = Number(process.env['CLEAT_TEST_ROUNDS'] ?? 10);
    const pause = (maxMs: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, random() * maxMs); });
    const churned = (name: string): Pod => pod(name, { volumeMounts: [{ name: 'm', mountPath: '/m' }, { name: 'c', mountPath: '/c' }] }, { volumes: [{ name: 'm', emptyDir: { medium: 'Memory' } }, { name: 'c', configMap: { name: 'churn', optional: true } }] });
    // The first pod of a host leaves folders for all that follow.
    await cluster.apply(pod('first'));
    await until('first', isReady);
    await remove('first');
    const before = await hostInventory(host(), cluster.containerdSocket);
    await cluster.apply(pod('steady'));
    await until('steady', isReady);
    const steady = await identities(['steady']);
    const steadyUid = (await get('steady')).metadata?.uid ?? '';
    /** Any shim, or what it runs, but those of the pod that is to stay. */
    const killSome = async (what: string): Promise<string> => host().sh(`
      spared=$(timeout 5 ctr -a ${cluster.containerdSocket} -n k8s.io containers ls -q 'labels."io.kubernetes.pod.uid"==${steadyUid}' || echo all)
      [ "$spared" != all ] || exit 0
      found=$(ps -eo pid,args | grep '${what}' | grep -vF "$spared" | grep -v grep | awk '{ print $1 }' | shuf -n 1)
      [ -z "$found" ] || kill -9 $found || true`);
    // One that was killed just now has left nothing to kill.
    const killContainerd = async (): Promise<void> => { await containerd().then((pid) => host().sh(`kill -9 ${pid} || true`), () => undefined); };
    const harms = [restartAgent, restartAgent, killContainerd, () => killSome('[c]ontainerd-shim-runc'), () => killSome('[/]bin/runc')];
    const wanted = new Set(['steady']);
    for (let round = 0, serial = 0; round < rounds; round++) {
      const change = async (): Promise<void> => {
        const fresh = [`p${String(serial++)}`, `p${String(serial++)}`];
        await cluster.apply([...fresh.map(churned), { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'churn' }, data: { round: String(round) } }]);
        for (const name of fresh) wanted.add(name);
        const victims = [...wanted].filter((name) => name !== 'steady' && random() < 0.5);
        for (const name of victims) wanted.delete(name);
        if (victims.length > 0) await cluster.kubectl(['delete', 'pod', ...victims, '--wait=false', ...(random() < 0.3 ? ['--force', '--grace-period=0'] : [])]);
      };
      const changed = change();
      for (let harm = random() < 0.5 ? 1 : 2; harm > 0; harm--) {
        await pause(1200);
        await harms[Math.floor(random() * harms.length)]?.();
      }
      await changed;
    }
    await eventually(async () => {
      // As systemd does: one whose containerd is killed while it starts ends.
      if (!cluster.agent(0)?.running) cluster.startAgent(0);
      const pods = await all();
      const names = pods.map((p) => p.metadata?.name ?? '');
      return names.sort().join() === [...wanted].sort().join() && pods.every(isReady) && (await cluster.runningContainers(host())).length === wanted.size * 2;
    }, { what: `exactly ${[...wanted].join()}`, timeoutMs: 45_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    expect(await identities(['steady'])).toEqual(steady);
    await remove(...wanted);
    await cluster.kubectl(['delete', 'configmap', 'churn']);
    let left: string[] = [];
    await eventually(async () => {
      left = inventoryDiff(before, await hostInventory(host(), cluster.containerdSocket));
      return left.length === 0;
    }, { what: 'the host to be as before', timeoutMs: 40_000, intervalMs: 300, explain: () => left.join('\n') });
  });
});

/** Numbers from 0 to 1 that a seed determines. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state / 0x7fff_ffff;
  };
}
