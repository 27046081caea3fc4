import type { ImageUser } from '#agent/runtimes/types.ts';
import { describe, expect, it } from 'vitest';
import type { Pod, Service } from '#api/gen/types.ts';
import { testContainer, testPod } from '../testing.ts';
import { rejectionOf } from './admission.ts';
import { containerConfig } from './container-config.ts';
import { parseResolvConf, podDns } from './dns.ts';
import { containerEnv, type ObjectLookup } from './env.ts';
import { expand } from './expansion.ts';
import { fieldValue, resourceValue } from './fields.ts';
import { hostsFile } from './hosts-file.ts';
import { qosClassOf } from './qos.ts';
import { cgroupResources, podCgroupLimits } from './resources.ts';
import { hostnameOf, sandboxConfig } from './sandbox-config.ts';
import { needsImageUser } from './security.ts';

const facts = { nodeName: 'node', hostIps: ['192.0.2.1'], podIps: ['10.42.0.2', 'fd00::2'], allocatable: { cpuMillis: 4000, memoryBytes: 4 << 20 } };
const service = (name: string, namespace: string, clusterIP: string): Service => ({ metadata: { name, namespace }, spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] } });
const lookup: ObjectLookup = {
  configMap: (_ns, name) => (name === 'cfg' ? { data: { A: 'a', B: 'b' } } : undefined),
  secret: (_ns, name) => (name === 'sec' ? { data: { P: Buffer.from('pw').toString('base64') } } : undefined),
  services: () => [service('kubernetes', 'default', '10.43.0.1'), service('my-db', 'app', '10.43.0.9'), service('other', 'elsewhere', '10.43.0.8'), service('headless', 'app', 'None')],
  runtimeClass: () => undefined,
};

describe('environment', () => {
  const pod = testPod('p', {}, { namespace: 'app' });
  const env = (change: Parameters<typeof testContainer>[1]) => Object.fromEntries(containerEnv(pod, testContainer('app', change), lookup, facts).map((e) => [e.name, e.value]));

  it('takes services of its namespace, and the API server', () => {
    const result = env({});
    expect(result).toMatchObject({ KUBERNETES_SERVICE_HOST: '10.43.0.1', KUBERNETES_SERVICE_PORT: '80', MY_DB_SERVICE_HOST: '10.43.0.9', MY_DB_SERVICE_PORT_HTTP: '80', MY_DB_PORT_80_TCP: 'tcp://10.43.0.9:80' });
    expect(Object.keys(result).some((name) => /OTHER|HEADLESS/.test(name))).toBe(false);
    const quiet = containerEnv({ ...pod, spec: { ...pod.spec!, enableServiceLinks: false } }, testContainer('app'), lookup, facts);
    expect(quiet.map((e) => e.name).filter((name) => name.startsWith('MY_DB'))).toEqual([]);
  });

  it('takes a service of its namespace for the API server where it has that name', () => {
    const own = { ...service('kubernetes', 'app', '10.43.0.7'), spec: { clusterIP: '10.43.0.7', ports: [{ port: 81 }] } };
    const api = service('kubernetes', 'default', '10.43.0.1');
    for (const services of [[own, api], [api, own]]) {
      const names = Object.fromEntries(containerEnv(pod, testContainer('app'), { ...lookup, services: () => services }, facts).map((e) => [e.name, e.value]));
      expect(names).toMatchObject({ KUBERNETES_SERVICE_HOST: '10.43.0.7', KUBERNETES_SERVICE_PORT: '81' });
      expect(names).not.toHaveProperty('KUBERNETES_SERVICE_PORT_HTTP');
    }
  });

  it('joins sources, later ones winning', () => {
    expect(env({
      envFrom: [{ configMapRef: { name: 'cfg' }, prefix: 'X_' }, { secretRef: { name: 'sec' } }, { secretRef: { name: 'none', optional: true } }],
      env: [{ name: 'X_A', value: 'mine' }, { name: 'REF', value: '$(X_A)-$(X_B)-$$(X_A)-$(NONE)' }, { name: 'GONE', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'no', optional: true } } }],
    })).toMatchObject({ X_A: 'mine', X_B: 'b', P: 'pw', REF: 'mine-b-$(X_A)-$(NONE)' });
  });

  it.each([
    [{ configMapKeyRef: { name: 'none', key: 'k' } }, 'configmap "none" not found'],
    [{ configMapKeyRef: { name: 'cfg', key: 'k' } }, "couldn't find key k in ConfigMap app/cfg"],
    [{ secretKeyRef: { name: 'none', key: 'k' } }, 'secret "none" not found'],
  ])('says what is missing: %j', (valueFrom, message) => {
    expect(() => env({ env: [{ name: 'E', valueFrom }] })).toThrow(message);
  });

  it('expands as Kubernetes does', () => {
    expect(expand('$(A) $$(A) $(', (name) => (name === 'A' ? '1' : undefined))).toBe('1 $(A) $(');
  });

  it('reads fields', () => {
    const labelled = testPod('p', {}, { labels: { b: '2', a: '1' } });
    expect(fieldValue(labelled, { fieldPath: 'metadata.labels' }, facts)).toBe('a="1"\nb="2"');
    expect(fieldValue(labelled, { fieldPath: "metadata.labels['b']" }, facts)).toBe('2');
    expect(fieldValue(labelled, { fieldPath: 'status.podIPs' }, facts)).toBe('10.42.0.2,fd00::2');
    expect(() => fieldValue(labelled, { fieldPath: 'spec.replicas' }, facts)).toThrow('unsupported fieldPath');
    const container = testContainer('app', { resources: { limits: { cpu: '1500m' } } });
    expect(resourceValue(labelled, { resource: 'limits.cpu' }, container, facts)).toBe('2');
    expect(resourceValue(labelled, { resource: 'limits.cpu', divisor: '1m' }, container, facts)).toBe('1500');
    expect(resourceValue(labelled, { resource: 'limits.memory', divisor: '1Mi' }, container, facts)).toBe('4');
    expect(resourceValue(testPod('p', { resources: { limits: { memory: '2Mi' } } }), { resource: 'limits.memory' }, testContainer('app', { resources: { limits: { memory: '0' } } }), facts)).toBe(String(2 << 20));
    expect(resourceValue(labelled, { resource: 'limits.ephemeral-storage', divisor: '1Gi' }, container, { ...facts, resources: { 'ephemeral-storage': '10Gi', 'hugepages-2Mi': '4Mi' } })).toBe('10');
    expect(resourceValue(labelled, { resource: 'limits.hugepages-2Mi' }, container, { ...facts, resources: { 'hugepages-2Mi': '4Mi' } })).toBe('0');
    expect(fieldValue(testPod('p', {}, { annotations: { a: 'say "ä\u0007\u0001\n\\ \u00a0\u{1f600}\u{e0001}' } }), { fieldPath: 'metadata.annotations' }, facts)).toBe('a="say \\"ä\\a\\x01\\n\\\\ \\u00a0\u{1f600}\\U000e0001"');
  });
});

describe('resources', () => {
  const pod = (resources: object) => testPod('p', { containers: [testContainer('app', { resources })] });
  it.each([
    [{}, 'BestEffort', { cpuShares: 2, cpuQuotaMicros: 0, memoryLimitBytes: 0, oomScoreAdj: 1000 }],
    [{ requests: { cpu: '250m', memory: '1Mi' } }, 'Burstable', { cpuShares: 256, cpuQuotaMicros: 0, oomScoreAdj: 750 }],
    [{ limits: { cpu: '500m', memory: '2Mi' } }, 'Guaranteed', { cpuShares: 512, cpuQuotaMicros: 50_000, memoryLimitBytes: 2 << 20, oomScoreAdj: -997 }],
  ])('%j are %s', (resources, qos, expected) => {
    const target = pod(resources);
    expect(qosClassOf(target)).toBe(qos);
    expect(cgroupResources(target, target.spec!.containers[0]!, 4 << 20)).toMatchObject(expected);
  });

  it('limit huge pages', () => {
    const target = pod({ limits: { 'hugepages-2Mi': '4Mi', 'hugepages-1Gi': '1Gi', memory: '1Mi' } });
    expect(cgroupResources(target, target.spec!.containers[0]!, 4 << 20).hugepageLimits).toEqual([{ pageSize: '2MB', limitBytes: 4 << 20 }, { pageSize: '1GB', limitBytes: 1 << 30 }]);
  });

  it('keep huge pages from those who did not ask for them', () => {
    const target = pod({ limits: { 'hugepages-2Mi': '4Mi', memory: '1Mi' } });
    expect(cgroupResources(target, target.spec!.containers[0]!, 4 << 20, ['hugepages-2Mi', 'hugepages-1Gi']).hugepageLimits).toEqual([{ pageSize: '2MB', limitBytes: 4 << 20 }, { pageSize: '1GB', limitBytes: 0 }]);
  });

  it('of a pod as a whole are those of its containers, as far as they have none', () => {
    const whole = testPod('p', { containers: [testContainer('app'), testContainer('other', { resources: { requests: { memory: '1Mi' } } })], resources: { requests: { memory: '3Mi' }, limits: { memory: '4Mi', cpu: '500m' } } });
    expect(cgroupResources(whole, whole.spec!.containers[0]!, 10 << 20)).toMatchObject({ memoryLimitBytes: 4 << 20, cpuQuotaMicros: 50_000, oomScoreAdj: 900 });
    expect(cgroupResources(whole, whole.spec!.containers[1]!, 10 << 20)).toMatchObject({ oomScoreAdj: 800 });
  });

  it('let a sidecar die no sooner than those that it serves, and a pod of the node last', () => {
    const sidecar = testContainer('side', { restartPolicy: 'Always' });
    const served = testPod('p', { initContainers: [sidecar], containers: [testContainer('app', { resources: { requests: { memory: '1Mi' } } })] });
    expect(cgroupResources(served, sidecar, 4 << 20).oomScoreAdj).toBe(750);
    expect(cgroupResources(testPod('p', { priorityClassName: 'system-node-critical' }), sidecar, 4 << 20).oomScoreAdj).toBe(-997);
  });

  it('of a pod are those of its containers together', () => {
    const container = (name: string, requests: object, limits: object, change: object = {}) => testContainer(name, { resources: { requests, limits } as object, ...change });
    const containers = [container('a', { cpu: '100m' }, { cpu: '200m', memory: '10Mi' }), container('b', { cpu: '300m' }, { cpu: '1', memory: '20Mi' })];
    const init = container('init', { cpu: '500m' }, { cpu: '500m', memory: '64Mi' });
    const sidecar = container('side', { cpu: '50m' }, { cpu: '50m', memory: '1Mi' }, { restartPolicy: 'Always' });
    expect(podCgroupLimits(testPod('p', { containers }))).toEqual({ cpuShares: 409, cpuQuotaMicros: 120_000, cpuPeriodMicros: 100_000, memoryLimitBytes: 30 << 20 });
    expect(podCgroupLimits(testPod('p', { containers, initContainers: [sidecar, init] }))).toMatchObject({ cpuShares: 563, cpuQuotaMicros: 125_000, memoryLimitBytes: 65 << 20 });
    expect(podCgroupLimits(testPod('p', { containers: [...containers, testContainer('free')] }))).toMatchObject({ cpuShares: 409, cpuQuotaMicros: 0, memoryLimitBytes: 0 });
    expect(podCgroupLimits(testPod('p'))).toMatchObject({ cpuShares: 2 });
    const huge = testPod('p', { containers: ['a', 'b'].map((name) => testContainer(name, { resources: { limits: { 'hugepages-2Mi': '4Mi' } } })) });
    expect(podCgroupLimits(huge, -1, ['hugepages-2Mi', 'hugepages-1Gi'])).toMatchObject({ hugepageLimits: [{ pageSize: '2MB', limitBytes: 8 << 20 }, { pageSize: '1GB', limitBytes: 0 }] });
    expect(podCgroupLimits(testPod('p', { containers, overhead: { cpu: '100m', memory: '1Mi' } }))).toMatchObject({ cpuShares: 512, cpuQuotaMicros: 130_000, memoryLimitBytes: 31 << 20 });
    expect(podCgroupLimits(testPod('p', { containers: [testContainer('free')], resources: { requests: { cpu: '250m' }, limits: { memory: '8Mi' } } }))).toMatchObject({ cpuShares: 256, cpuQuotaMicros: 0, memoryLimitBytes: 8 << 20 });
  });
});

describe('names and addresses', () => {
  const dnsFacts = { clusterDns: ['10.43.0.10'], clusterDomain: 'cluster.local', host: parseResolvConf('nameserver 192.0.2.53 # ours\nsearch home.example\noptions timeout:1\n') };
  it('asks the cluster first', () => {
    expect(podDns(testPod('p'), dnsFacts).dns).toEqual({ servers: ['10.43.0.10'], searches: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'home.example'], options: ['ndots:5'] });
  });
  it('is the host while there is no cluster DNS, or on the host network', () => {
    expect(podDns(testPod('p'), { ...dnsFacts, clusterDns: [] }).dns).toEqual(dnsFacts.host);
    expect(podDns(testPod('p', { hostNetwork: true }), dnsFacts).dns).toEqual(dnsFacts.host);
    expect(podDns(testPod('p', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), dnsFacts).dns.servers).toEqual(['10.43.0.10']);
  });
  it('can be changed', () => {
    expect(podDns(testPod('p', { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.7'], searches: ['x'], options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] } }), dnsFacts).dns).toEqual({ servers: ['192.0.2.7'], searches: ['x'], options: ['ndots:2', 'edns0'] });
  });
  it('says what resolvers would not take', () => {
    const searches = Array.from({ length: 40 }, (_, i) => `s${String(i)}.${'long.'.repeat(14)}example`);
    const { dns, problems } = podDns(testPod('p', { dnsConfig: { nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'], searches } }), dnsFacts);
    expect(dns.servers).toEqual(['10.43.0.10', '192.0.2.1', '192.0.2.2']);
    expect(dns.searches.length).toBeLessThan(30);
    expect(dns.searches.join(' ').length).toBeLessThanOrEqual(2048);
    expect(problems).toEqual([
      'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.43.0.10 192.0.2.1 192.0.2.2',
      `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${dns.searches.join(' ')}`,
    ]);
    expect(podDns(testPod('p'), dnsFacts).problems).toEqual([]);
  });
  it('writes the hosts file', () => {
    const pod = testPod('p', { hostname: 'h', subdomain: 'sub', hostAliases: [{ ip: '192.0.2.5', hostnames: ['a', 'b'] }] });
    expect(hostsFile(pod, ['10.42.0.2'], 'cluster.local', '')).toMatch(/127\.0\.0\.1\tlocalhost\n[^]*10\.42\.0\.2\th\.sub\.default\.svc\.cluster\.local\th\n[^]*192\.0\.2\.5\ta\tb\n$/);
    expect(hostsFile(testPod('p', { hostNetwork: true }), ['192.0.2.1'], 'cluster.local', '127.0.0.1 me')).toBe('# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n');
  });
  it('cuts long host names where a label may end', () => {
    expect(hostnameOf(testPod(`${'a'.repeat(62)}-b`))).toBe('a'.repeat(62));
  });
  const sandboxOf = (pod: Pod) => sandboxConfig(pod, { attempt: 1, logDirectory: '/l', cgroupRoot: '/k', clusterDomain: 'cluster.local', dns: dnsFacts.host });
  it('maps ports and namespaces', () => {
    const pod = testPod('p', { hostPID: true, containers: [testContainer('app', { ports: [{ containerPort: 80, hostPort: 8080, protocol: 'UDP' }] })] });
    expect(sandboxOf(pod)).toMatchObject({ attempt: 1, hostPid: true, hostIpc: false, privileged: false, hostname: 'p', ports: [{ protocol: 'UDP', containerPort: 80, hostPort: 8080 }] });
    const other = testPod('p', { hostIPC: true, shareProcessNamespace: true, containers: [testContainer('app', { securityContext: { privileged: true } })] });
    expect(sandboxOf(other)).toMatchObject({ hostIpc: true, shareProcessNamespace: true, privileged: true });
  });
  it('names the host as the pod says', () => {
    const fqdn = { hostname: 'h', subdomain: 'sub', setHostnameAsFQDN: true };
    expect(sandboxOf(testPod('p', { hostname: 'h' })).hostname).toBe('h');
    expect(sandboxOf(testPod('p', { ...fqdn, setHostnameAsFQDN: false })).hostname).toBe('h');
    expect(sandboxOf(testPod('p', fqdn)).hostname).toBe('h.sub.default.svc.cluster.local');
    expect(sandboxOf(testPod('p', { ...fqdn, hostNetwork: true })).hostname).toBe('');
    expect(sandboxOf(testPod('p', { setHostnameAsFQDN: true })).hostname).toBe('p');
    expect(() => sandboxOf(testPod('p', { ...fqdn, subdomain: 's'.repeat(40) }))).toThrow(/FQDN h\.s+\.default\.svc\.cluster\.local is too long \(64 characters is the max, 68 characters requested\)/);
  });
  it('sets sysctls, written either way', () => {
    const sysctls = [{ name: 'net/ipv4/tcp_syncookies', value: '0' }, { name: 'net/ipv4/conf/eth0.1/rp_filter', value: '2' }, { name: 'kernel.shm_rmid_forced', value: '1' }];
    expect(sandboxOf(testPod('p', { securityContext: { sysctls } })).sysctls).toEqual({ 'net.ipv4.tcp_syncookies': '0', 'net.ipv4.conf.eth0/1.rp_filter': '2', 'kernel.shm_rmid_forced': '1' });
  });
});

describe('a pod is refused', () => {
  const admission = { allowedUnsafeSysctls: ['net.core.*', 'vm.swappiness'], strictGroups: false, appArmor: false, node: { name: 'node', labels: { disk: 'ssd' } }, pressures: [] };
  const withSysctl = (name: string, spec: object = {}) => testPod('p', { securityContext: { sysctls: [{ name, value: '1' }] }, ...spec });
  it.each([
    [withSysctl('kernel.shm_rmid_forced'), undefined],
    [withSysctl('net.ipv4.tcp_syncookies'), undefined],
    [withSysctl('net.ipv4.tcp_syncookies', { hostNetwork: true }), 'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host Net enabled'],
    [withSysctl('kernel/shm_rmid_forced', { hostIPC: true }), 'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host IPC enabled'],
    [withSysctl('net.core.somaxconn'), undefined],
    [withSysctl('net.ipv4.ip_forward'), 'forbidden sysctl: "net.ipv4.ip_forward" not allowlisted'],
    [withSysctl('kernel.panic'), 'forbidden sysctl: "kernel.panic" not allowlisted'],
    [withSysctl('vm.swappiness'), 'forbidden sysctl: "vm.swappiness" not allowlisted'],
    [testPod('p', { os: { name: 'linux' } }), undefined],
    [testPod('p', { securityContext: { supplementalGroupsPolicy: 'Merge' } }), undefined],
    [testPod('p', { securityContext: { supplementalGroupsPolicy: 'Strict' } }), 'SupplementalGroupsPolicy=Strict is not supported in this node'],
    [testPod('p', { os: { name: 'windows' } }), "Failed to admit pod as the OS field doesn't match node OS"],
    [testPod('p', {}, { labels: { 'kubernetes.io/os': 'windows' } }), "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"],
    [testPod('p', { nodeSelector: { disk: 'ssd' } }), undefined],
    [testPod('p', { nodeSelector: { disk: 'hdd' } }), "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"],
    [{ ...testPod('p', { nodeSelector: { disk: 'hdd' } }), status: { startTime: '2026-01-01T00:00:00Z' } }, undefined],
    [testPod('p', { securityContext: { appArmorProfile: { type: 'Unconfined' } } }), undefined],
    [testPod('p', { securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } }), 'Cannot enforce AppArmor: AppArmor is not enabled on the host'],
    [testPod('p', { initContainers: [testContainer('i', { securityContext: { appArmorProfile: { type: 'Localhost', localhostProfile: 'mine' } } })] }), 'Cannot enforce AppArmor: AppArmor is not enabled on the host'],
  ])('%#', (pod, message) => {
    expect(rejectionOf(pod, admission)?.message).toBe(message);
  });

  const sized = { containers: [testContainer('app', { resources: { requests: { cpu: '1' } } })] };
  it.each<[object, string[], string | undefined]>([
    [{}, ['MemoryPressure'], 'The node had condition: [MemoryPressure]. '], [sized, ['MemoryPressure'], undefined],
    [{ tolerations: [{ key: 'node.kubernetes.io/memory-pressure', operator: 'Exists' }] }, ['MemoryPressure'], undefined],
    [sized, ['MemoryPressure', 'DiskPressure'], 'The node had condition: [MemoryPressure DiskPressure]. '], [{ priority: 2_000_000_000 }, ['DiskPressure'], undefined],
  ])('by a node that is short of something: %j %j', (spec, pressures, message) => {
    expect(rejectionOf(testPod('p', spec), { ...admission, pressures })?.message).toBe(message);
  });
});

describe('security', () => {
  const facts = { attempt: 0, env: [], mounts: [], nodeMemoryBytes: 1, imageUser: undefined, seccompDir: '/seccomp', appArmor: true, abilities: { recursiveReadOnly: false, strictGroups: false } };
  const securityOf = (own: object, shared: object = {}, change: object = {}) => containerConfig(testPod('p', { securityContext: shared }), testContainer('app', { securityContext: own }), { ...facts, ...change }).security;

  it('is the container\'s own before the pod\'s', () => {
    const pod = testPod('p', { securityContext: { runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4] } });
    const config = containerConfig(pod, testContainer('app', { command: ['$(A)'], securityContext: { runAsUser: 9, allowPrivilegeEscalation: false } }), { ...facts, attempt: 2, env: [{ name: 'A', value: 'x' }] });
    expect(config).toMatchObject({ command: ['x'], logFile: 'app/2.log', security: { runAsUser: 9, runAsGroup: 2, supplementalGroups: [4, 3], noNewPrivileges: true } });
    expect(() => securityOf({ runAsUser: 0, runAsNonRoot: true })).toThrow('non-root policy');
  });
  it('asks the image when nobody else names a user', () => {
    const of = (securityContext: object, imageUser: ImageUser) => () => securityOf(securityContext, {}, { imageUser });
    expect(needsImageUser(testPod('p', { securityContext: { runAsNonRoot: true } }), testContainer('app'))).toBe(true);
    expect(needsImageUser(testPod('p'), testContainer('app', { securityContext: { runAsUser: 1, runAsNonRoot: true } }))).toBe(false);
    expect(of({ runAsNonRoot: true }, { uid: 0, name: '' })).toThrow('container has runAsNonRoot and image will run as root (pod: "p_default(p-uid)", container: app)');
    expect(of({ runAsNonRoot: true }, { name: 'www' })).toThrow('image has non-numeric user (www)');
    expect(of({ runAsNonRoot: true }, { uid: 5, name: '' })()).toMatchObject({ runAsUser: 5 });
    expect(of({ runAsGroup: 7 }, { name: 'www' })()).toMatchObject({ runAsUserName: 'www', runAsGroup: 7 });
  });
  it('hides what of /proc is the host\'s, unless told otherwise', () => {
    expect(securityOf({})).toMatchObject({ maskedPaths: expect.arrayContaining(['/proc/kcore', '/proc/keys']), readonlyPaths: expect.arrayContaining(['/proc/sys', '/proc/sysrq-trigger']) });
    expect(securityOf({ procMount: 'Unmasked' })).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  });
  it('confines by seccomp, AppArmor and SELinux', () => {
    expect(securityOf({})).toMatchObject({ seccomp: { type: 'Unconfined' } });
    expect(securityOf({}, { seccompProfile: { type: 'RuntimeDefault' } })).toMatchObject({ seccomp: { type: 'RuntimeDefault' } });
    expect(securityOf({ seccompProfile: { type: 'Localhost', localhostProfile: 'a/b.json' } }, { seccompProfile: { type: 'RuntimeDefault' } })).toMatchObject({ seccomp: { type: 'Localhost', reference: '/seccomp/a/b.json' } });
    expect(() => securityOf({ seccompProfile: { type: 'Localhost', localhostProfile: '../x' } })).toThrow('no path below /seccomp');
    expect(securityOf({}).appArmor).toBeUndefined();
    expect(securityOf({}, { appArmorProfile: { type: 'Localhost', localhostProfile: 'mine' } }).appArmor).toEqual({ type: 'Localhost', reference: 'mine' });
    expect(() => securityOf({ appArmorProfile: { type: 'RuntimeDefault' } }, {}, { appArmor: false })).toThrow('AppArmor is not enabled on the host');
    expect(securityOf({ appArmorProfile: { type: 'Unconfined' } }, {}, { appArmor: false }).appArmor).toEqual({ type: 'Unconfined' });
    expect(securityOf({ seLinuxOptions: { level: 's0' } }).seLinux).toEqual({ user: '', role: '', type: '', level: 's0' });
  });

  const refused = (spec: object, container: object) => () => {
    const app = testContainer('app', container);
    return containerConfig(testPod('p', { containers: [app], ...spec }), app, facts);
  };
  it.each([
    [{ resourceClaims: [{ name: 'gpu' }] }, {}, /resource claims are not supported/],
    [{ securityContext: { supplementalGroupsPolicy: 'Strict' } }, {}, /SupplementalGroupsPolicy=Strict is not supported in this node/],
  ])('says what this node cannot give: %j %j', (spec, container, message) => {
    expect(refused(spec, container)).toThrow(message);
  });
  it('leaves the rest alone', () => {
    expect(refused({ hostUsers: true, securityContext: { supplementalGroupsPolicy: 'Merge' } }, { volumeMounts: [{ name: 'v', mountPath: '/v', recursiveReadOnly: 'IfPossible' }] })).not.toThrow();
  });
});
