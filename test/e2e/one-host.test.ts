import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import type { ExecResult } from '#common/exec.ts';
import { containerdPaths } from '#agent/runtimes/containerd/paths.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { HostExecOptions, LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';

const root = join(import.meta.dirname, '../..');
const executable = join(root, 'cleat');
const example = join(root, 'examples/hello.yaml');
const socket = containerdPaths('/var/lib/cleat').socket;

/** What `npm start` runs when everything is installed. Resolves when the user may type again. */
async function start(host: LabHost): Promise<LabProcess> {
  const up = host.spawn('up', executable, ['up', '--apply', example]);
  await up.waitForOutput('Ctrl-C stops Cleat', 60_000);
  return up;
}

/** Ctrl-C under npm: the terminal and npm both pass it on. */
async function interrupt(up: LabProcess): Promise<number | null> {
  const pid = await up.pid();
  process.kill(pid, 'SIGINT');
  process.kill(pid, 'SIGINT');
  return (await up.exited).code;
}

const cleat = (host: LabHost, ...args: string[]): Promise<string> => host.execOk(executable, args, { timeoutMs: 60_000 });
const attempt = (host: LabHost, args: readonly string[], options: HostExecOptions = {}): Promise<ExecResult> => host.exec(executable, args, { timeoutMs: 60_000, ...options });

async function containers(host: LabHost): Promise<string[]> {
  const tasks = await host.execOk('ctr', ['-a', socket, '-n', 'k8s.io', 'tasks', 'ls']);
  return tasks.split('\n').filter((line) => line.includes('RUNNING')).map((line) => line.split(/\s+/)[0] ?? '').sort();
}

/** Neither log lines nor stack traces: what a newcomer sees is meant for them. */
function expectNoNoise(output: string): void {
  expect(output).not.toMatch(/^\s+at .*:\d+|^\{"level"|^\d\d:\d\d:\d\d (warn|error):|Warning:/m);
}

describe('one host', () => {
  let lab: Lab;
  let host: LabHost;
  let up: LabProcess;

  beforeAll(async () => {
    lab = await createLab({ hosts: 3 });
    host = lab.host(0);
  });
  afterAll(async () => { await lab?.destroy(); });

  describe('from nothing', () => {
    it('shows a Service answering, and what to try next', async () => {
      up = await start(host);
      const output = up.output();
      expect(output).toMatch(/^Starting Cleat; its state is in \/var\/lib\/cleat\nCleat is up in \d+\.\d s: node host0 of https:\/\/10\.88\.\d+\.11:6443\n/);
      expect(output).toContain('deployment.apps/hello created\nservice/hello created\n');
      expect(output).toContain('hello: 3 of 3 ready\n');
      expect(output).toMatch(/\$ curl http:\/\/10\.43\.\d+\.\d+\/\nHello from hello-\w+-\w+ to 10\.88\.\d+\.11\n/);
      expectNoNoise(output);
      // Its pods were made when the node could take them.
      expect((await attempt(host, ['get', 'events', '--field-selector', 'reason=FailedScheduling', '-o', 'name'])).stdout).toBe('');
    });

    it('says commands that work', async () => {
      const commands = [...up.output().matchAll(/^ {2}sudo \.\/cleat (.*)$/gm)].map(([, line = '']) => line.split(' '));
      expect(commands).toHaveLength(3);
      const answers: string[] = [];
      for (const args of commands) answers.push((await attempt(host, args)).stdout);
      const [pods = '', scaled, logs] = answers;
      expect(pods.match(/^hello-\S+ +1\/1 +Running +0 +\S+ +10\.42\.0\.\d+ +host0 /gm)).toHaveLength(3);
      expect(scaled).toBe('deployment.apps/hello scaled\n');
      expect(logs).toMatch(/^\[pod\/hello-\S+\/web\] Hello to 10\.88\.\d+\.11$/m);
    });

    it('lets only root read the kubeconfig, and says so', async () => {
      const asNobody = await host.exec('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'cat', '/etc/cleat/kubeconfig']);
      expect([asNobody.exitCode, asNobody.stderr]).toEqual([1, 'cat: /etc/cleat/kubeconfig: Permission denied\n']);
    });
  });

  describe('again', () => {
    let before: string[];
    const hello = (): Promise<string> => host.sh(`wget -qO- http://$(KUBECONFIG=/etc/cleat/kubeconfig ${executable} get service hello -o jsonpath={.spec.clusterIP})/`);

    it('leaves containers and Services alone when it stops', async () => {
      await eventually(async () => (await cleat(host, 'get', 'deployment', 'hello', '-o', 'jsonpath={.status.availableReplicas}')) === '5', { what: 'five pods', timeoutMs: 60_000, intervalMs: 250 });
      before = await containers(host);
      expect(before).toHaveLength(10);
      const address = await cleat(host, 'get', 'service', 'hello', '-o', 'jsonpath={.spec.clusterIP}');
      expect(await interrupt(up)).toBe(0);
      expectNoNoise(up.output());
      expect(up.output()).toMatch(/Ctrl-C stops Cleat and leaves the containers running\.\ncleat up ends: it got SIGINT\n$/);
      expect(await containers(host)).toEqual(before);
      expect(await host.sh(`wget -qO- http://${address}/`)).toContain('Hello from hello-');
    });

    it('takes them over, scaled as they were', async () => {
      up = await start(host);
      expect(up.output()).toContain('deployment.apps/hello unchanged\nservice/hello unchanged\nhello: 5 of 5 ready\n');
      expect(await containers(host)).toEqual(before);
      expect(await hello()).toContain('Hello from hello-');
    });

    it('does not interrupt the Service, however it ends', async () => {
      const address = await cleat(host, 'get', 'service', 'hello', '-o', 'jsonpath={.spec.clusterIP}');
      const load = host.spawn('load', process.execPath, [join(root, 'test/support/http-load.ts'), `http://${address}/`, '2']);
      await load.waitForOutput('asking');
      for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
        await up.kill(signal);
        up = await start(host);
      }
      await load.kill('SIGTERM');
      expect(JSON.parse(load.output().trim().split('\n').at(-1) ?? '')).toMatchObject({ failed: 0, errors: {} });
      expect(await containers(host)).toEqual(before);
    });

    it('refuses to run twice', async () => {
      const { exitCode, stdout, stderr } = await attempt(host, ['up', '--port=7443']);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^error: (another agent \(process \d+\) uses the state directory \/var\/lib\/cleat|the store in \/var\/lib\/cleat\/server\/store is in use by another process).*; stop (it|that one) first/);
      expectNoNoise(stdout + stderr);
      const beside = await attempt(host, ['up', '--port=7443', '--state-dir=/run/beside', '--kubeconfig=/run/beside/kubeconfig']);
      expect([beside.exitCode, beside.stderr]).toEqual([1, expect.stringMatching(/^error: another agent \(process \d+\) runs in this host's network; stop it first/)]);
      expect((await attempt(host, ['down'])).stderr).toMatch(/^error: another agent \(process \d+\) uses the state directory/);
      expect(await containers(host)).toEqual(before);
    });
  });

  describe('the command line', () => {
    const walk = (...args: string[]): Promise<string> => cleat(host, ...args);

    it('gets', async () => {
      const pod = (await walk('get', 'pods', '-o', 'name')).split('\n')[0] ?? '';
      expect(pod).toMatch(/^pod\/hello-/);
      const json = JSON.parse(await walk('get', pod, '-o', 'json')) as Pod;
      expect(json).toMatchObject({ apiVersion: 'v1', kind: 'Pod', status: { phase: 'Running' } });
      const { parse } = await import('yaml');
      expect(parse(await walk('get', pod, '-o', 'yaml'))).toMatchObject({ metadata: { uid: json.metadata?.uid } });
      expect(await walk('get', pod, '-o', 'jsonpath={.status.podIP}{"\\n"}')).toBe(`${json.status?.podIP ?? ''}\n`);
      expect(await walk('get', 'deploy,svc', '-l', 'app=hello', '--show-labels')).toContain('app=hello');
      expect(await walk('get', '-f', example)).toMatch(/^NAME +READY[\s\S]*deployment\.apps\/hello +5\/5[\s\S]*service\/hello +ClusterIP/);
      expect(await walk('get', 'services', '-A')).toMatch(/^NAMESPACE +NAME +TYPE[\s\S]*^default +kubernetes /m);
      expect((await attempt(host, ['get', 'pods', '-l', 'app=nothing'])).stderr).toBe('No resources found in default namespace.\n');
    });

    it('says what is not there, with exit code 1', async () => {
      for (const [args, message] of [
        [['get', 'pod', 'nothing'], 'Error from server (NotFound): pods "nothing" not found\n'],
        [['get', 'nothing'], 'error: the server doesn\'t have a resource type "nothing"\n'],
        [['logs', 'nothing'], 'error: error from server (NotFound): pods "nothing" not found in namespace "default"\n'],
        [['delete', 'service', 'nothing'], 'Error from server (NotFound): services "nothing" not found\n'],
        [['scale', 'deployment/nothing', '--replicas=1'], 'error: no objects passed to scale deployments.apps "nothing" not found\n'],
      ] as const) {
        expect(await attempt(host, args)).toEqual({ exitCode: 1, stdout: '', stderr: message });
      }
    });

    it('applies, watches, scales and deletes', async () => {
      const manifest = (image: string): string => `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: walk}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: walk}}\n  template:\n    metadata: {labels: {app: walk}}\n    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: ${image}, env: [{name: ANSWER, value: "yes"}]}]}\n`;
      const watch = host.spawn('watch', executable, ['get', 'pods', '-l', 'app=walk', '-w']);
      const apply = (image: string): Promise<string> => host.execOk(executable, ['apply', '-f', '-'], { input: manifest(image) });
      expect(await apply('cleat-hello:1')).toBe('deployment.apps/walk created\n');
      expect(await apply('cleat-hello:1')).toBe('deployment.apps/walk unchanged\n');
      await watch.waitForOutput(/^walk-\S+ +1\/1 +Running/m, 20_000);
      expect(await apply('docker.io/library/cleat-hello:1')).toBe('deployment.apps/walk configured\n');
      expect(await walk('scale', 'deployment/walk', '--replicas=2')).toBe('deployment.apps/walk scaled\n');
      expect(await walk('describe', 'deployment', 'walk')).toMatch(/^Name: +walk$[\s\S]*^Events:[\s\S]*ScalingReplicaSet/m);
      expect(await walk('delete', 'deployment', 'walk')).toBe('deployment.apps "walk" deleted\n');
      await watch.waitForOutput(/Terminating/, 10_000);
      expect((await watch.kill('SIGINT')).code).toBe(130);
      await eventually(async () => (await walk('get', 'pods', '-l', 'app=walk', '-o', 'name')) === '', { what: 'the pods to go', timeoutMs: 20_000 });
    });

    it('prints logs', async () => {
      const pod = (name: string, script: string): object => ({
        apiVersion: 'v1', kind: 'Pod', metadata: { name },
        spec: { terminationGracePeriodSeconds: 0, volumes: [{ name: 'v', emptyDir: {} }], containers: [{ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', script], volumeMounts: [{ name: 'v', mountPath: '/v' }] }] },
      });
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [
        pod('twice', 'if test -e /v/x; then echo second life; exec sleep 1000; fi; echo first life; touch /v/x; exit 3'),
        pod('ticks', 'i=0; while true; do i=$((i+1)); echo "tick $i"; sleep 1; done'),
      ] });
      await host.execOk(executable, ['apply', '-f', '-'], { input });
      await eventually(async () => (await attempt(host, ['logs', 'ticks'])).stdout.includes('tick 3'), { what: 'three ticks', timeoutMs: 20_000 });
      const follow = host.spawn('follow', executable, ['logs', '-f', 'ticks']);
      expect(await walk('logs', 'ticks', '--tail=2')).toMatch(/^tick \d+\ntick \d+\n$/);
      expect(await walk('logs', 'ticks', '--timestamps', '--tail=1')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) tick \d+\n$/);
      expect(await walk('logs', 'ticks', '--since=1s')).not.toContain('tick 1\n');
      expect(await walk('logs', 'ticks', '--limit-bytes=4')).toBe('tick');
      await eventually(async () => (await attempt(host, ['logs', 'twice'])).stdout === 'second life\n', { what: 'the second life', timeoutMs: 30_000 });
      expect(await walk('logs', 'twice', '--previous')).toBe('first life\n');
      expect((await attempt(host, ['logs', 'ticks', '--previous'])).stderr).toContain('previous terminated container "c" in pod "ticks" not found');
      await follow.waitForOutput(/tick 1\n[^]*tick 5\n/);
      expect((await follow.kill('SIGINT')).code).toBe(130);
      expect(await walk('delete', 'pod', 'twice', 'ticks', '--now')).toBe('pod "twice" deleted\npod "ticks" deleted\n');
    });

    it('shows use and the fleet', async () => {
      const nodes = await eventually(async () => {
        const top = await attempt(host, ['top', 'nodes']);
        expect([0, 1]).toContain(top.exitCode);
        if (top.exitCode === 1) expect(top.stderr).toBe('error: metrics not available yet\n');
        return top.exitCode === 0 ? top.stdout : false;
      }, { what: 'metrics of the node', timeoutMs: 60_000 });
      expect(nodes).toMatch(/^NAME +CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\) *\nhost0 +\d+m +\d+% +\d+Mi +\d+% *\n$/);
      const pods = await eventually(async () => {
        const top = await attempt(host, ['top', 'pods', '-l', 'app=hello']);
        return top.exitCode === 0 && top.stdout.split('\n').length === 7 && top.stdout;
      }, { what: 'metrics of the pods', timeoutMs: 60_000 });
      expect(pods).toMatch(/^NAME +CPU\(cores\) +MEMORY\(bytes\) *\n(hello-\S+ +\d+m +\d+Mi *\n){5}$/);
      expect(await walk('nodes')).toMatch(/^NAME +STATUS +ADDRESS.*\nhost0 +Ready +10\.88\.\d+\.11 +\w+ +\d+m +\d+Mi +\S+ +\S+ +5 +containerd:\/\//);
    });

    it('tells Prometheus what pods use', async () => {
      const ask = (path: string): Promise<string> => walk('get', '--raw', `/api/v1/nodes/host0/proxy/metrics/${path}`);
      expect((await ask('resource')).match(/^container_cpu_usage_seconds_total\{container="web",namespace="default",pod="hello-\S+"\} (?!0$)[\d.e-]+$/gm)).toHaveLength(5);
      const cadvisor = await ask('cadvisor');
      const amounts = (name: string, labels: string): number[] => [...cadvisor.matchAll(new RegExp(`^container_${name}\\{${labels}\\} (\\S+)$`, 'gm'))].map(([, amount]) => Number(amount));
      const container = 'container="web",id="/kubepods/pod[^"]+/[0-9a-f]{64}",image="[^"]+",name="[0-9a-f]{64}",namespace="default",pod="hello-[^"]+"';
      const pod = 'container="",id="/kubepods/pod[^"/]+",image="",name="",namespace="default",pod="hello-[^"]+"';
      const root = 'container="",id="/",image="",name="",namespace="",pod=""';
      expect(amounts('network_transmit_bytes_total', `${pod},interface="eth0"`).filter((bytes) => bytes > 0)).toHaveLength(5);
      expect(amounts('network_receive_bytes_total', `${root},interface="[^"]+"`).some((bytes) => bytes > 0)).toBe(true);
      // A pod is more than its container, and the host more than its pods.
      for (const [name, more] of [['cpu_usage_seconds_total', ',cpu="total"'], ['memory_working_set_bytes', ''], ['threads', '']] as const) {
        const [ofContainers, ofPods, [ofHost = 0]] = [container, pod, root].map((labels) => amounts(name, labels + more)) as [number[], number[], number[]];
        expect([ofContainers.length, ofPods.length], name).toEqual([5, 5]);
        expect(ofPods.every((amount, i) => amount > (ofContainers[i] ?? Infinity)), name).toBe(true);
        if (name !== 'threads') expect(ofHost, name).toBeGreaterThan(ofPods.reduce((a, b) => a + b, 0));
      }
      expect(amounts('fs_limit_bytes', `${root},device="[^"]+"`).every((bytes) => bytes > 0)).toBe(true);
      expect([amounts('start_time_seconds', container), amounts('start_time_seconds', pod)].map(({ length }) => length)).toEqual([5, 5]);
    });

    it('tells what a kubelet tells of itself', async () => {
      const ask = (path: string): Promise<string> => walk('get', '--raw', `/api/v1/nodes/host0/proxy/${path}`);
      const probes = await ask('metrics/probes');
      const pod = 'container="web",namespace="default",pod="hello-[^"]+",probe_type="Readiness"';
      expect(probes.match(new RegExp(`^prober_probe_total\\{${pod},pod_uid="[0-9a-f-]{36}",result="successful"\\} [1-9]\\d*$`, 'gm'))).toHaveLength(5);
      expect(probes.match(new RegExp(`^prober_probe_duration_seconds_bucket\\{${pod},le="\\+Inf"\\} [1-9]\\d*$`, 'gm'))).toHaveLength(5);
      const metrics = await ask('metrics');
      const value = (name: string): number => Number(new RegExp(`^${name.replaceAll(/[{}]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(metrics)?.[1]);
      expect(['kubelet_node_name{node="host0"}', 'kubelet_running_pods', 'kubelet_desired_pods{static=""}', 'kubelet_started_pods_errors_total'].map(value)).toEqual([1, 5, 5, 0]);
      for (const name of ['kubelet_started_pods_total', 'kubelet_pod_start_duration_seconds_count', 'kubelet_runtime_operations_total{operation_type="create_container"}']) expect(value(name), name).toBeGreaterThan(0);
      // Each pod's token.
      for (const state of ['actual', 'desired']) expect(value(`volume_manager_total_volumes{plugin_name="kubernetes.io/projected",state="${state}_state_of_world"}`)).toBe(5);
      expect(value('kubelet_certificate_manager_client_ttl_seconds')).toBeGreaterThan(86_400);
      expect(value('process_resident_memory_bytes')).toBeGreaterThan(10 << 20);
      expect(metrics).toMatch(/^kubernetes_build_info\{major="1",minor="\d+",git_version="v1\.[^"]+",platform="linux\/\w+"\} 1$/m);
      expect(JSON.parse(await ask('configz'))).toMatchObject({ kubeletconfig: { kind: 'KubeletConfiguration', maxPods: 110, clusterDNS: ['10.43.0.10'], containerRuntimeEndpoint: `unix://${socket}` } });
    });

    it('keeps join tokens', async () => {
      const { stdout, stderr } = await attempt(host, ['token', 'create', '--ttl=1h', '--description=for a test']);
      expect(stderr).toBe('Run this on the new host within 60m:\n\n');
      const [, id = ''] = /^cleat agent --server https:\/\/10\.88\.\d+\.11:6443 --token ([a-z0-9]{6})\.[a-z0-9]{16}\.[0-9a-f]{64}\n$/.exec(stdout) ?? [];
      expect(await walk('token', 'list')).toMatch(new RegExp(`^${id} +\\d+m +\\S+ +<any> +for a test$`, 'm'));
      expect(await walk('token', 'delete', id)).toBe(`token "${id}" deleted\n`);
      expect(await walk('token', 'list')).not.toContain(id);
    });
  });

  describe('down', () => {
    it('leaves the host as it was', async () => {
      expect(await interrupt(up)).toBe(0);
      const down = await attempt(host, ['down']);
      expect(down).toMatchObject({ exitCode: 0, stderr: '' });
      expect(down.stdout).toMatch(/^5 pods removed\ncontainerd stopped\n[\s\S]*nftables table ip cleat removed\n[\s\S]*The state is kept in \/var\/lib\/cleat/);
      expect(await traces(host)).toEqual(await traces(lab.host(1)));
    });

    it('is undone by the next start', async () => {
      up = await start(host);
      await eventually(async () => (await cleat(host, 'get', 'deployment', 'hello', '-o', 'jsonpath={.status.availableReplicas}')) === '5', { what: 'five pods', timeoutMs: 60_000, intervalMs: 250 });
      expect(await host.sh(`wget -qO- http://$(${executable} get service hello -o jsonpath={.spec.clusterIP})/`)).toContain('Hello from hello-');
    });

    it('with --purge forgets everything, at any moment', async () => {
      await up.kill('SIGKILL');
      // As after a reboot: containerd has to be started, and to find its pods again, before they can be removed.
      await host.sh(`kill -9 $(cut -d' ' -f1 ${containerdPaths('/var/lib/cleat').pidFile})`);
      expect(await attempt(host, ['down', '--purge'])).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await traces(host)).toEqual(await traces(lab.host(1)));
      expect(await host.sh('ls -A /var/lib/cleat; ls -d /etc/cleat /run/cleat /var/log/pods /var/log/containers 2>/dev/null || true')).toBe('');
      // The state directory is a mount point here, and so cannot be removed itself.
      await host.sh('mkdir /var/lib/empty');
      for (const dir of ['/var/lib/nothing', '/var/lib/empty']) {
        expect(await attempt(host, ['down', `--state-dir=${dir}`])).toEqual({ exitCode: 0, stderr: '', stdout: `Nothing to do: there is no state of Cleat in ${dir}\n` });
      }
    });
  });

  describe('a start that is killed', () => {
    it('is taken up by the next, wherever it was', async () => {
      const other = lab.host(1);
      const inState = (path: string) => (): boolean => existsSync(join(other.stateDirectory, path));
      const moments: readonly (readonly [string, () => boolean | Promise<boolean>])[] = [
        ['a key of the CA', inState('server/pki/ca.key')],
        ['a database', inState('server/store/CURRENT')],
        ['a key of the node', inState('agent/pki/node.key')],
        ['an identity', inState('agent/pki/node.crt')],
        ['a containerd', () => existsSync(other.path(containerdPaths('/var/lib/cleat').pidFile))],
        ['a pod', inState('cni/net.d')],
        ['a container', async () => (await containers(other).catch(() => [])).length > 0],
      ];
      for (const [what, reached] of moments) {
        const killed = other.spawn('up', executable, ['up', '--apply', example]);
        await eventually(reached, { what, timeoutMs: 30_000, intervalMs: 1, explain: () => killed.output() });
        await killed.kill('SIGKILL');
      }
      const last = await start(other);
      expect(last.output()).toMatch(/Hello from hello-\w+-\w+ to /);
      await eventually(async () => (await containers(other)).length === 6, { what: 'exactly three pods', timeoutMs: 20_000 });
      expect(await interrupt(last)).toBe(0);
    });
  });

  describe('a second host', () => {
    it('joins with the line that is printed, and runs pods of the example', async () => {
      const first = lab.host(1);
      const second = lab.host(2);
      const running = await start(first);
      const [, ...line] = (await cleat(first, 'token', 'create')).trim().split(' ');
      const agent = second.spawn('agent', executable, line);
      await agent.waitForOutput(`This host is node host2 of https://${first.address}:6443\n`, 20_000);
      await eventually(async () => /^host1 +Ready .*\nhost2 +Ready /m.test(await cleat(first, 'nodes')), { what: 'both nodes to be Ready', timeoutMs: 20_000 });
      await cleat(first, 'scale', 'deployment/hello', '--replicas=6');
      await eventually(async () => (await cleat(first, 'get', 'pods', '-o', 'wide')).match(/^hello-\S+ +1\/1 +Running .* host2 /gm)?.length === 3, { what: 'three pods on the second host', timeoutMs: 30_000 });
      expectNoNoise(agent.output());
      expect((await agent.kill('SIGINT')).code).toBe(0);
      expect(await containers(second)).toHaveLength(6);
      expect((await attempt(second, ['down', '--purge'])).stdout).toMatch(/^3 pods removed\n/);
      await running.kill();
    });
  });
});

/** What Cleat must not leave on a host that it was taken down on. */
async function traces(host: LabHost): Promise<string> {
  return host.sh([
    'nft list tables', "ip -o link | awk '{print $2}' | sed 's/@.*//'", 'ip route show table all proto 142', 'ip -4 route show scope host',
    'cat /proc/sys/net/ipv4/ip_forward', "awk '{print $5}' /proc/self/mountinfo | grep -E 'cleat|containerd|netns' || true",
    'find /sys/fs/cgroup -name "kubepods*" | head', 'ls /run/netns /run/containerd /var/lib/cni/results 2>/dev/null || true',
    "ps -eo stat,comm | grep -v ^Z | grep -E 'containerd|pause|httpd' || true",
  ].join('\n'));
}
