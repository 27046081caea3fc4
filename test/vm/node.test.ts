import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod, PodSpec } from '#api/gen/types.ts';
import { VirtualCluster } from '../support/lab/virtual-cluster.ts';
import type { VirtualHost } from '../support/lab/virtual-host.ts';

type Resources = NonNullable<PodSpec['containers'][number]['resources']>;

const image = 'cleat-hello:1';
const unused = 'sleep 100000';
const mebi = 1024 ** 2;

/** A host as Debian has it, with a kernel and a systemd of its own: one hierarchy of cgroups (version 2), logind, AppArmor. */
describe('a node with cgroup v2, systemd and AppArmor', () => {
  let cluster: VirtualCluster;
  let host: VirtualHost;
  const pod = (name: string, script: string, resources: Resources = {}, spec: Partial<PodSpec> = {}): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: { nodeName: host.name, terminationGracePeriodSeconds: 1, ...spec, containers: [{ name: 'c', image, command: ['sh', '-c', script], resources, ...spec.containers?.[0] }] },
  });
  /** A file of the pod's cgroup, or of that of its container. */
  const ofPod = async (name: string, file: string): Promise<string> => (await host.sh(`cat /sys/fs/cgroup/kubepods/pod${(await cluster.pod(name)).metadata?.uid ?? ''}/${file}`)).trim();
  const containerOf = async (name: string): Promise<string> => (await cluster.pod(name)).status?.containerStatuses?.[0]?.containerID?.replace(/^.*:\/\//, '') ?? '';
  const ofContainer = async (name: string, file: string): Promise<string> => ofPod(name, `${await containerOf(name)}/${file}`);

  beforeAll(async () => {
    cluster = await VirtualCluster.create({
      hosts: 2, kernelArguments: ['lsm=apparmor'],
      agent: { 'pod-max-pids': '60', 'shutdown-grace-period-by-pod-priority': '0=20s,1000=20s,2000000000=10s' },
    });
    host = cluster.lab.host(1);
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('has one hierarchy, and holds pods and containers of each class to what they asked for', async () => {
    expect((await host.sh('stat -fc %T /sys/fs/cgroup')).trim()).toBe('cgroup2fs');
    await cluster.apply(
      pod('guaranteed', unused, { limits: { cpu: '500m', memory: '64Mi' } }),
      pod('burstable', unused, { requests: { cpu: '100m', memory: '32Mi' }, limits: { memory: '128Mi' } }),
      pod('best-effort', unused),
    );
    await cluster.running('guaranteed', 'burstable', 'best-effort');
    const found = await Promise.all(['guaranteed', 'burstable', 'best-effort'].map(async (name) => ({
      qos: (await cluster.pod(name)).status?.qosClass,
      pod: await Promise.all(['memory.max', 'cpu.max', 'pids.max'].map((file) => ofPod(name, file))),
      container: await Promise.all(['memory.max', 'cpu.max', 'cpu.weight', 'memory.oom.group'].map((file) => ofContainer(name, file))),
      score: Number(await host.sh(`cat /proc/$(head -n 1 /sys/fs/cgroup/kubepods/pod*/${await containerOf(name)}/cgroup.procs)/oom_score_adj`)),
    })));
    expect(found).toEqual([
      { qos: 'Guaranteed', pod: [String(64 * mebi), '50000 100000', '60'], container: [String(64 * mebi), '50000 100000', '20', '1'], score: -997 },
      { qos: 'Burstable', pod: [String(128 * mebi), 'max 100000', '60'], container: [String(128 * mebi), 'max 100000', '4', '1'], score: expect.toSatisfy((score: number) => score > 2 && score < 1000) as number },
      { qos: 'BestEffort', pod: ['max', 'max 100000', '60'], container: ['max', 'max 100000', '1', '1'], score: 1000 },
    ]);
    const [pids, memory] = (await host.sh('cat /sys/fs/cgroup/kubepods/pids.max /sys/fs/cgroup/kubepods/memory.max')).trim().split('\n').map(Number);
    expect(pids).toBeLessThan(Number(await host.sh('cat /proc/sys/kernel/threads-max')));
    expect(memory).toBeLessThan(512 * mebi);
  });

  it('resizes a running pod in place', async () => {
    const before = await containerOf('guaranteed');
    const resources = { requests: { cpu: '250m', memory: '96Mi' }, limits: { cpu: '250m', memory: '96Mi' } };
    await cluster.cleat(`patch pod guaranteed --subresource resize -p '${JSON.stringify({ spec: { containers: [{ name: 'c', resources }] } })}'`);
    await cluster.until('the new limits', async () => await ofContainer('guaranteed', 'memory.max') === String(96 * mebi) && await ofContainer('guaranteed', 'cpu.max') === '25000 100000');
    await cluster.until('the pod to have them', async () => {
      const { status } = await cluster.pod('guaranteed');
      return status?.containerStatuses?.[0]?.resources?.limits?.['memory'] === '96Mi' && !status.conditions?.some(({ type }) => type === 'PodResizeInProgress');
    });
    expect([await containerOf('guaranteed'), await ofPod('guaranteed', 'memory.max')]).toEqual([before, String(96 * mebi)]);
  });

  it('tells what pods use', async () => {
    await cluster.apply(pod('busy', 'while :; do :; done', { limits: { cpu: '200m', memory: '32Mi' } }));
    await cluster.running('busy');
    const summary = async (): Promise<Record<string, { cpu: { usageCoreNanoSeconds: number }; memory: { workingSetBytes: number } }>> => {
      const { pods } = JSON.parse(await cluster.cleat(`get --raw /api/v1/nodes/${host.name}/proxy/stats/summary`)) as { pods: { podRef: { name: string }; cpu: { usageCoreNanoSeconds: number }; memory: { workingSetBytes: number } }[] };
      return Object.fromEntries(pods.map(({ podRef, ...stats }) => [podRef.name, stats]));
    };
    const [first, used] = [await summary(), async () => Number(/usage_usec (\d+)/.exec(await ofPod('busy', 'cpu.stat'))?.[1]) * 1000];
    await cluster.until('a second of its time', async () => ((await summary())['busy']?.cpu.usageCoreNanoSeconds ?? 0) > (first['busy']?.cpu.usageCoreNanoSeconds ?? 0) + 1e9);
    const { cpu, memory } = (await summary())['busy'] ?? {};
    expect(cpu?.usageCoreNanoSeconds).toBeLessThanOrEqual(await used());
    expect(memory?.workingSetBytes).toBeGreaterThan(0);
    expect(memory?.workingSetBytes).toBeLessThanOrEqual(32 * mebi);
    const metrics = await cluster.cleat(`get --raw /api/v1/nodes/${host.name}/proxy/metrics/cadvisor`);
    const metric = (name: string): number => Number(new RegExp(`^${name}\\{[^}]*pod="busy"[^}]*\\} (\\S+)`, 'm').exec(metrics)?.[1]);
    expect([metric('container_spec_memory_limit_bytes'), metric('container_spec_cpu_quota'), metric('container_processes'), metric('container_oom_events_total')]).toEqual([32 * mebi, 20_000, 1, 0]);
    for (const name of ['container_memory_rss', 'container_memory_usage_bytes', 'container_cpu_cfs_throttled_periods_total', 'container_cpu_cfs_throttled_seconds_total']) expect(metric(name), name).toBeGreaterThan(0);
    // The pod as a whole, and the host.
    const whole = (name: string, labels: string): number => Number(new RegExp(`^${name}\\{container="",id="${labels}[^}]*\\} (\\S+)`, 'm').exec(metrics)?.[1]);
    const ofBusy = '/kubepods/pod[0-9a-f-]+",image="",name="",namespace="default",pod="busy"';
    expect([whole('container_spec_memory_limit_bytes', ofBusy), whole('container_threads_max', ofBusy)]).toEqual([32 * mebi, 60]);
    for (const name of ['container_cpu_usage_seconds_total', 'container_memory_working_set_bytes', 'container_memory_usage_bytes', 'container_spec_memory_limit_bytes']) expect(whole(name, '/"'), name).toBeGreaterThan(whole(name, ofBusy));
    // This kernel takes all of it for the system's.
    expect(metric('container_cpu_user_seconds_total') + metric('container_cpu_system_seconds_total')).toBeGreaterThan(0);
    await cluster.until('top to tell', async () => {
      const line = (await cluster.cleat('top pods --no-headers')).split('\n').find((text) => text.startsWith('busy ')) ?? '';
      const [, millis, mebis] = /^busy +(\d+)m +(\d+)Mi/.exec(line) ?? [];
      // Its share of a core, whatever the machine is busy with besides.
      return Number(millis) > 0 && Number(millis) <= 230 && Number(mebis) <= 32;
    });
    await cluster.cleat('delete pod busy');
  });

  it('ends all of a container that runs out of memory, and says so', async () => {
    // The shell that waits is not the one that takes too much: it would go on alone.
    await cluster.apply(pod('greedy', 'sleep 5; tail /dev/zero; sleep 100000', { limits: { memory: '24Mi' } }, { restartPolicy: 'Never' }));
    await cluster.until('greedy to be killed', async () => (await cluster.pod('greedy')).status?.phase === 'Failed');
    expect((await cluster.pod('greedy')).status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ reason: 'OOMKilled', exitCode: 137 });
    await cluster.cleat('delete pod greedy');
  });

  it('leaves a pod that forks without end the processes that one may have, and others theirs', async () => {
    const command = ['sh', '-c', 'bomb() { while :; do bomb & sleep 0.2; done; }; bomb & exec sleep 100000'];
    await cluster.apply(pod('bomb', '', {}, { containers: [{ name: 'c', image, command, resources: { limits: { cpu: '100m' } } }] }));
    await cluster.until('the kernel to refuse it one', async () => Number(/^max (\d+)$/m.exec(await ofPod('bomb', 'pids.events'))?.[1]) > 0);
    expect(Number(await ofPod('bomb', 'pids.current'))).toBeLessThanOrEqual(60);
    expect(await cluster.exec('best-effort', 'echo here')).toBe('here\n');
    const cgroup = `/sys/fs/cgroup/kubepods/pod${(await cluster.pod('bomb')).metadata?.uid ?? ''}`;
    await cluster.cleat('delete pod bomb');
    await host.sh(`[ ! -e ${cgroup} ]`);
  });

  describe('that has AppArmor', () => {
    const lab = `profile cleat-lab flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, pivot_root, ptrace, signal, unix,
  deny /forbidden w,
}`;
    const confined = (on: VirtualHost, name: string, appArmorProfile?: NonNullable<PodSpec['securityContext']>['appArmorProfile']): Pod => pod(name, unused, {}, { nodeName: on.name, ...(appArmorProfile && { securityContext: { appArmorProfile } }) });
    /** Of each, as it is when it runs by the runtime's own `usual` profile. */
    const confines = async (on: VirtualHost, usual: string): Promise<void> => {
      await on.sh(`apparmor_parser -r <<'END'\n${lab}\nEND`);
      await cluster.apply(
        confined(on, 'nothing-said'), confined(on, 'by-default', { type: 'RuntimeDefault' }), confined(on, 'by-name', { type: 'Localhost', localhostProfile: 'cleat-lab' }),
        confined(on, 'unconfined', { type: 'Unconfined' }), confined(on, 'unknown', { type: 'Localhost', localhostProfile: 'cleat-lab-absent' }),
      );
      await cluster.running('nothing-said', 'by-default', 'by-name', 'unconfined');
      const told = (name: string): Promise<string> => cluster.exec(name, 'cat /proc/1/attr/current /proc/self/attr/current; (: >/forbidden) 2>/dev/null && echo written || echo denied');
      expect(await told('by-name')).toBe('cleat-lab (enforce)\n'.repeat(2) + 'denied\n');
      expect(await told('by-default')).toBe(`${usual} (enforce)\n`.repeat(2) + 'written\n');
      expect(await told('nothing-said')).toBe(`${usual} (enforce)\n`.repeat(2) + 'written\n');
      expect(await told('unconfined')).toBe('unconfined\n'.repeat(2) + 'written\n');
      await cluster.until('the refusal', async () => {
        const { waiting } = (await cluster.pod('unknown')).status?.containerStatuses?.[0]?.state ?? {};
        return waiting?.reason?.startsWith('CreateContainer') === true && waiting.message?.includes('apparmor profile not found cleat-lab-absent') === true;
      });
      expect(await cluster.events('unknown')).toContain('apparmor profile not found cleat-lab-absent');
      await cluster.cleat('delete pod nothing-said by-default by-name unconfined unknown');
    };

    it('confines containers by it, and starts none by a profile that is not loaded', () => confines(host, 'cri-containerd.apparmor.d'));

    it('does so with a containerd whose CRI is switched off, too', async () => {
      await cluster.server.sh(`
        mkdir -p /etc/containerd
        printf 'version = 2\nroot = "/var/lib/cleat/of-containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/etc/containerd/config.toml
        systemctl start containerd
        echo 'runtime: ctr' >>/etc/cleat/agent.yaml; systemctl restart cleat-agent`, 240_000);
      await cluster.ready();
      await confines(cluster.server, 'cleat-default');
    });
  });

  describe('that goes down', () => {
    const log = '/root/log';
    /** Says when it was told to end, and ends two seconds later. */
    const teller = (name: string, priorityClassName: string | undefined, spec: Partial<PodSpec> = {}): Pod => pod(name, '', {}, {
      terminationGracePeriodSeconds: 15, ...(priorityClassName !== undefined && { priorityClassName }), ...spec, volumes: [{ name: 'log', hostPath: { path: '/root' } }],
      containers: [{ name: 'c', image, volumeMounts: [{ name: 'log', mountPath: '/log' }], command: ['sh', '-c', `trap 'echo ${name} told >>/log/log; sleep 2; echo ${name} ended >>/log/log; exit 0' TERM; echo ${name} began >>/log/log; while :; do sleep 1 & wait $!; done`] }],
    });
    const said = async (): Promise<string[]> => (await host.sh(`cat ${log}`)).trim().split('\n');

    beforeAll(async () => {
      await cluster.cleat('delete pod guaranteed burstable best-effort');
      // Hears of the shutdown as any unit of the host does.
      await host.sh(`
        printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\nExecStop=/bin/sh -c "echo systemd stops >>${log}"\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/lab-marker.service
        systemctl daemon-reload; systemctl enable --now lab-marker`);
      await cluster.apply({ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'better' }, value: 1000 } as never);
      await cluster.apply(
        teller('low', undefined), teller('better', 'better'), teller('system', 'system-node-critical', {}),
        // Does not hear: it may not take the time of those that come after it.
        pod('deaf', "trap '' TERM; while :; do sleep 1; done", {}, { terminationGracePeriodSeconds: 600 }),
        teller('once', undefined, { restartPolicy: 'Never' }),
      );
      await cluster.running('low', 'better', 'system', 'deaf', 'once');
    });

    it('has logind wait for as long as pods may take', async () => {
      expect(await host.sh('cat /etc/systemd/logind.conf.d/90-cleat.conf')).toContain('InhibitDelayMaxSec=50\n');
      expect((await host.sh('busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec')).trim()).toBe('t 50000000');
      expect(await host.sh('systemd-inhibit --list --no-legend')).toMatch(/cleat .* shutdown .* delay/);
      expect(await host.sh('cat /var/lib/cleat/ledger*; ls -R /var/lib/cleat | grep -i ledger')).toContain('90-cleat.conf');
    });

    it.each([['powered off', 'poweroff'], ['rebooted', 'reboot']])('ends them by their priority before systemd stops anything when it is %s, and runs them again', async (_how, verb) => {
      await host.sh(`: >${log}`);
      const boot = await host.sh('cat /proc/sys/kernel/random/boot_id');
      await host.sh(`systemctl ${verb}`);
      if (verb === 'poweroff') {
        await host.off();
        const statuses = await Promise.all(['low', 'better', 'deaf', 'system'].map(async (name) => (await cluster.pod(name)).status));
        for (const status of statuses) {
          expect(status).toMatchObject({ phase: 'Running', reason: 'Terminated', message: 'Pod was terminated in response to imminent node shutdown.' });
          expect(status?.conditions?.find(({ type }) => type === 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'TerminationByKubelet' });
          expect(status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('False');
        }
        await host.boot();
      } else await cluster.until('the next boot', async () => await host.sh('cat /proc/sys/kernel/random/boot_id') !== boot);
      await cluster.running('low', 'better', 'system', 'deaf');
      for (const name of ['low', 'better', 'system', 'deaf']) expect((await cluster.pod(name)).status?.reason).toBeUndefined();
      const lines = await said();
      // Those of one priority end together.
      const groups = [/^(low|once) told$/, /^(low|once) ended$/, /^better told$/, /^better ended$/, /^system told$/, /^system ended$/, /^systemd stops$/, /began$/];
      const places = lines.map((line) => groups.findIndex((group) => group.test(line)));
      expect(places, lines.join('\n')).toEqual(places.toSorted((a, b) => a - b));
      expect(new Set(places), lines.join('\n')).toEqual(new Set(groups.keys()));
      expect((await cluster.pod('once')).status).toMatchObject({ phase: 'Succeeded' });
    });
  });
}, 900_000);
