import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecResult } from '#common/exec.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

/** The command line against real pods on two hosts, beside stock kubectl where that has the verb. */
let cluster: Cluster;
let dir: string;
const executable = join(import.meta.dirname, '../../cleat');

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cleat-cli-'));
  cluster = await Cluster.create({ agents: 1, allInOne: true });
  await cluster.importImage();
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await cluster?.destroy();
});

const env = { KUBECONFIG: '/etc/cleat/kubeconfig' };
const cleat = (...args: string[]): Promise<string> => cluster.cleat(args, { timeoutMs: 120_000 });
const attempt = (args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<ExecResult> => cluster.controlPlaneHost.exec(executable, args, { timeoutMs: 120_000, env: { ...env, ...more } });
const container = (change: object = {}): object => ({ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', 'trap exit TERM; while :; do sleep 1 & wait $!; done'], ...change });
const pod = (name: string, change: object = {}, spec: object = {}): object => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { terminationGracePeriodSeconds: 1, containers: [container(change)], ...spec } });
const deployment = (name: string, replicas: number, spec: object = {}): object => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name },
  spec: { replicas, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { terminationGracePeriodSeconds: 1, containers: [container()], ...spec } } },
});
/** What `cleat why` says once it says this. */
const why = (target: readonly string[], pattern: RegExp): Promise<ExecResult> => eventually(async () => {
  const told = await attempt(['why', ...target]);
  if (!pattern.test(told.stdout)) throw new Error(told.stdout + told.stderr);
  return told;
}, { what: `cleat why ${target.join(' ')} to match ${String(pattern)}`, timeoutMs: 60_000 });

describe('cleat why', () => {
  beforeAll(async () => {
    await cluster.apply([
      pod('fine'), pod('huge', { resources: { requests: { cpu: '1000' } } }), pod('picky', {}, { nodeSelector: { disk: 'ssd' } }),
      pod('crash', { command: ['sh', '-c', 'exit 3'] }), pod('no-image', { image: 'nosuch:1', imagePullPolicy: 'Never' }), pod('no-secret', { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'nosuch', key: 'k' } } }] }),
      pod('no-volume', {}, { volumes: [{ name: 'v', configMap: { name: 'nosuch' } }] }), pod('no-claim', {}, { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'nosuch' } }] }),
      pod('unready', { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } }), pod('done', { command: ['true'] }, { restartPolicy: 'Never' }),
      pod('gated', {}, { schedulingGates: [{ name: 'example.com/wait' }] }),
    ]);
  });
  afterAll(async () => { await cleat('delete', 'pods', '--all', '--now'); });

  it.each<[string, RegExp, number]>([
    ['fine', /^pod\/fine in namespace default runs on host\d, and is ready\.\n$/, 0],
    ['done', /has finished: all its containers ended well/, 0],
    ['huge', /asks for 1k of cpu, and the largest node has \S+ for pods: it can never fit/, 2],
    ['picky', /All 2 nodes lack the labels that it asks for: disk=ssd\.\n {2}Helps: cleat label node NAME disk=ssd/, 2],
    ['crash', /The container c ended \S+ ago with exit code 3\..*restarted[^]*cleat logs -n default crash -c c --previous/, 2],
    ['no-image', /"nosuch:1" is not on host\d, and imagePullPolicy is Never/, 2],
    ['no-secret', /secret "nosuch" not found[^]*a Secret nosuch in namespace default/, 2],
    ['no-volume', /A volume cannot be made ready: .*configmap "nosuch" not found/, 2],
    ['no-claim', /Its claim nosuch does not exist/, 2],
    ['unready', /its readiness probe \(the command false\) fails/, 2],
    ['gated', /held back by 1 scheduling gate: example\.com\/wait/, 2],
  ])('pod/%s', async (name, says, code) => {
    expect(await why([`pod/${name}`], says)).toMatchObject({ exitCode: code, stderr: '' });
  });

  it('tells what a pod needs, and that it is well once it has it', async () => {
    await cleat('label', 'node', 'host1', 'disk=ssd');
    expect((await why(['picky'], /runs on host1/)).exitCode).toBe(0);
    await cleat('label', 'node', 'host1', 'disk-');
  });

  it('follows a workload to what keeps it from its pods', async () => {
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'tight' } },
      { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q', namespace: 'tight' }, spec: { hard: { pods: '1' } } },
      { ...deployment('big', 2), metadata: { name: 'big', namespace: 'tight' } }, deployment('well', 2), deployment('sick', 2, { containers: [container({ image: 'nosuch:1', imagePullPolicy: 'Never' })] }),
    ]);
    expect((await why(['deployment/big', '-n', 'tight'], /1 of 2 pods are ready\.\n\n {2}Why: {3}The quota q of the namespace is used up: it allows pods=1/)).exitCode).toBe(2);
    expect((await why(['deploy', 'well'], /is complete: 2 of 2 pods are ready/)).exitCode).toBe(0);
    expect((await why(['deploy/sick'], /0 of 2 pods are ready\.\n\n(Each of its 2 pods|Its pod) sick-/)).exitCode).toBe(2);
    await cleat('delete', 'deployment', 'well', 'sick');
    await cleat('delete', 'namespace', 'tight');
  });

  it('as JSON, of many, and of what is not there', async () => {
    const told = JSON.parse((await attempt(['why', 'pods', '-o', 'json'])).stdout) as { object: string; state: string; findings: { cause: string }[] }[];
    expect(told.map(({ object }) => object)).not.toContain('pod/fine');
    expect(told.find(({ object }) => object === 'pod/no-claim')).toMatchObject({ state: 'broken', findings: [{ cause: 'Claim' }] });
    expect(await attempt(['why', 'pod/nosuch'])).toMatchObject({ exitCode: 1, stderr: 'Error from server (NotFound): pods "nosuch" not found\n' });
    expect(await attempt(['why', 'configmap/x'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('cleat describe configmap') as string });
  });

  it('knows a host that is not heard of', async () => {
    await cluster.apply(pod('far', {}, { nodeName: 'host1' }));
    await why(['far'], /runs on host1/);
    await cluster.stopAgent(0);
    expect((await why(['far'], /The agent of its node host1 is not heard of, for \S+: .*may well run on/)).exitCode).toBe(2);
    cluster.startAgent(0);
    await cluster.waitForNodes();
    expect((await why(['far'], /runs on host1, and is ready/)).exitCode).toBe(0);
  });
});

describe('verbs of every day', () => {
  it('drain a node as kubectl does', async () => {
    await cluster.apply([deployment('web', 4), pod('alone', {}, { nodeName: 'host1' }), { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'web' }, spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } } }]);
    await cleat('rollout', 'status', 'deployment/web', '--timeout=60s');
    const refused = await attempt(['drain', 'host1']);
    const kubectl = await cluster.kubectlResult(['drain', 'host1']);
    expect(refused).toEqual({ ...kubectl, stdout: 'node/host1 cordoned\n', stderr: kubectl.stderr.replaceAll('cannot delete cannot delete', 'cannot delete') });
    expect(refused.stderr).toContain('cannot delete Pods that declare no controller (use --force to override): default/alone');
    const drained = await cleat('node', 'drain', 'host1', '--force', '--timeout=100s');
    expect(drained).toMatch(/^node\/host1 already cordoned\n[^]*pod\/alone evicted\n[^]*node\/host1 drained\n$/);
    expect(await cleat('get', 'pods', '--field-selector', 'spec.nodeName=host1,status.phase=Running', '-o', 'name')).toBe('');
    expect(await cleat('uncordon', 'host1') + await cleat('node', 'uncordon', 'host1')).toBe('node/host1 uncordoned\nnode/host1 already uncordoned\n');
  });

  it('change metadata, taints and fields', async () => {
    await cleat('annotate', 'deployment', 'web', 'a=b');
    expect(await attempt(['label', 'deploy/web', 'tier=x', 'app-'])).toMatchObject({ exitCode: 0, stdout: 'label "app" not found.\ndeployment.apps/web labeled\n' });
    expect(await attempt(['label', 'deploy/web', 'tier=y'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("'tier' already has a value (x), and --overwrite is false") as string });
    expect(await cleat('patch', 'deploy', 'web', '-p', '{"spec":{"replicas":2}}')).toBe('deployment.apps/web patched\n');
    expect(await cleat('taint', 'nodes', 'host1', 'a=b:PreferNoSchedule') + await cleat('node', 'taint', 'host1', 'a-')).toBe('node/host1 tainted\nnode/host1 untainted\n');
    expect(await cluster.kubectl(['get', 'deploy', 'web', '-o', 'jsonpath={.metadata.labels.tier} {.metadata.annotations.a} {.spec.replicas}'])).toBe('x b 2');
  });

  it('make objects of words, and tell what a file would change', async () => {
    expect(await attempt(['create', 'configmap', 'made', '--from-literal=level=info'])).toMatchObject({ exitCode: 0, stdout: 'configmap/made created\n' });
    expect(await attempt(['create', 'configmap', 'made'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('failed to create configmap: configmaps "made" already exists') as string });
    expect(await attempt(['create', 'secret', 'generic', 'made', '--from-literal=word=old'])).toMatchObject({ exitCode: 0 });
    const path = join(dir, 'made.yaml');
    writeFileSync(path, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {level: debug}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: made}\nstringData: {word: new}\n');
    const { exitCode, stdout, stderr } = await attempt(['diff', '-f', path]);
    expect({ exitCode, stderr, changes: stdout.split('\n').filter((line) => /^[-+] /.test(line)) }).toEqual({
      exitCode: 1, stderr: '', changes: ['-  level: info', '+  level: debug', expect.stringMatching(/^- {2}word: .\*\*\* \(before\).$/), expect.stringMatching(/^\+ {2}word: .\*\*\* \(after\).$/)],
    });
    await cleat('apply', '-f', path);
    expect(await attempt(['diff', '-f', path])).toMatchObject({ exitCode: 0, stdout: '' });
    expect((await attempt(['diff', '-f', '/no/such'])).exitCode).toBeGreaterThan(1);
    expect(await attempt(['set', 'image', 'deployment/web', 'nosuch=x'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('unable to find container named "nosuch"') as string });
    expect(await attempt(['set', 'image', 'deployment/web', '*=cleat-hello:1', '--dry-run=server'])).toMatchObject({ exitCode: 0, stdout: '' });
    await cleat('delete', 'configmap,secret', 'made');
  });

  it('run a pod to its end, and look into one that runs', async () => {
    // Standard input, empty here, comes with who attaches: nothing is said before.
    const run = ['--image=cleat-hello:1', '--command'];
    expect(await attempt(['run', 'once', '--rm', '-i', '--restart=Never', ...run, '--', 'sh', '-c', 'read end; echo said; exit 7'])).toMatchObject({ exitCode: 7, stdout: 'said\npod "once" deleted\n' });
    await cluster.apply(pod('ended', { command: ['true'] }, { restartPolicy: 'Never' }));
    await cleat('wait', 'pod/ended', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s');
    for (const [verb, ...words] of [['attach', 'ended'], ['exec', 'ended', '--', 'true']]) {
      const told = await attempt([verb ?? '', ...words]);
      expect(told).toMatchObject({ exitCode: 1, stderr: `error: cannot ${verb === 'exec' ? 'exec into' : 'attach'} a container in a completed pod; current phase is Succeeded\n` });
      expect(told.stderr).toBe((await cluster.kubectlResult([verb ?? '', ...words])).stderr);
    }
    // A name that is empty, or leads elsewhere, is none: it must not stand for all.
    for (const name of ['', '..']) expect((await attempt(['delete', 'pods', name])).exitCode).toBe(1);
    expect(await cleat('get', 'pod', 'ended', '-o', 'name')).toBe('pod/ended\n');
    await cleat('delete', 'pod', 'ended', '--now');
    expect(await attempt(['run', 'stays', '--expose', '--port=80', ...run, '--', 'sleep', '1000'])).toMatchObject({ exitCode: 0, stdout: 'service/stays created\npod/stays created\n' });
    expect(await cleat('expose', 'pod', 'stays', '--name=again', '--dry-run=server')).toBe('service/again exposed (server dry run)\n');
    await cleat('wait', 'pod/stays', '--for=condition=Ready', '--timeout=60s');
    expect(await attempt(['debug', 'stays', '--image=cleat-hello:1', '--target=stays', '-c', 'look', '-q', '--', 'sh', '-c', 'cat /proc/1/cmdline'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    await eventually(async () => (await cleat('logs', 'stays', '-c', 'look')).includes('sleep'), { what: 'the container beside to see the processes of the other', timeoutMs: 60_000 });
    await cleat('delete', 'pod,service', 'stays', '--now');
  });

  it('change workloads field by field', async () => {
    expect(await cleat('set', 'env', 'deploy/web', 'LEVEL=debug') + await cleat('set', 'env', 'deploy/web', 'LEVEL=debug') + await cleat('set', 'env', 'deploy/web', '--list')).toBe('deployment.apps/web env updated\n# Deployment web, container c\nLEVEL=debug\n');
    expect(await cleat('set', 'env', 'deploy/web', 'LEVEL-') + await cleat('set', 'resources', 'deploy/web', '--requests=cpu=1m') + await cleat('set', 'sa', 'deploy/web', 'default')).toBe('deployment.apps/web env updated\ndeployment.apps/web resource requirements updated\ndeployment.apps/web serviceaccount updated\n');
    expect(await cleat('autoscale', 'deploy/web', '--max=2', '--cpu=70%', '--dry-run=server', '-o', 'jsonpath={.spec.metrics[0].resource.target.averageUtilization}')).toBe('70');
    const path = join(dir, 'service.yaml');
    writeFileSync(path, 'apiVersion: v1\nkind: Service\nmetadata: {name: replaced}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n');
    await cleat('create', '-f', path);
    expect(await cleat('set', 'selector', 'svc/replaced', 'app=other') + await cleat('replace', '-f', path) + await cleat('replace', '--force', '-f', path)).toBe('service/replaced selector updated\nservice/replaced replaced\nservice "replaced" deleted\nservice/replaced replaced\n');
    expect(await cleat('get', 'svc', 'replaced', '-o', 'jsonpath={.spec.selector}')).toBe('{"app":"web"}');
    await cleat('delete', '-f', path);
    expect(await attempt(['certificate', 'approve', 'nosuch'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('certificatesigningrequests.certificates.k8s.io "nosuch" not found') as string });
  });

  it('edit with an editor, and bring its errors back to it', async () => {
    const editor = join(dir, 'editor');
    writeFileSync(editor, `#!/bin/sh\ncp "$1" ${dir}/seen\nif [ -e ${dir}/again ]; then exit 0; fi\n: >${dir}/again\nsed -i 's/^  replicas: .*/  replicas: many/' "$1"\n`, { mode: 0o755 });
    expect(await attempt(['edit', 'deploy/web'], { KUBE_EDITOR: editor })).toMatchObject({ exitCode: 1, stderr: 'error: Edit cancelled, no valid changes were saved.\n' });
    expect(readFileSync(join(dir, 'seen'), 'utf8')).toContain('# * The Deployment "web" is invalid');
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/^  replicas: .*/  replicas: 1/" "$1"\n');
    expect(await attempt(['edit', 'deploy/web'], { KUBE_EDITOR: editor })).toMatchObject({ exitCode: 0, stdout: 'deployment.apps/web edited\n' });
    expect(await cleat('get', 'deploy', 'web', '-o', 'go-template={{.spec.replicas}}')).toBe('1');
  });

  it('kustomizations, as kubectl builds them', async () => {
    const files = {
      'base/kustomization.yaml': 'resources: [app.yaml]\nconfigMapGenerator: [{name: settings, literals: [LEVEL=info, "HTML=<b>&"]}]\n',
      'base/app.yaml': 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: kustomized}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: kustomized}}\n  template:\n    metadata: {labels: {app: kustomized}}\n    spec: {containers: [{name: c, image: "cleat-hello:1", envFrom: [{configMapRef: {name: settings}}]}]}\n',
      'prod/kustomization.yaml': 'resources: [../base]\nnamePrefix: my-\ncommonAnnotations: {env: test}\nimages: [{name: cleat-hello, newTag: "2"}]\n',
    };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(dir, name, '..'), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
    const folder = join(dir, 'prod');
    // Debian's kubectl knows none of this; the unit tests keep what others say.
    const { kustomizeVersion = '' } = JSON.parse(await cluster.kubectl(['version', '--client', '-o', 'json'])) as { kustomizeVersion?: string };
    const built = await cleat('kustomize', folder);
    expect(built).toBe(kustomizeVersion.startsWith('v5') ? await cluster.kubectl(['kustomize', folder]) : built);
    expect(built).toContain('name: my-settings-756gt6dc97\n');
    expect(await cleat('apply', '-k', folder)).toBe('configmap/my-settings-756gt6dc97 created\ndeployment.apps/my-kustomized created\n');
    expect(await cleat('get', '-k', folder, '-o', 'name')).toBe('configmap/my-settings-756gt6dc97\ndeployment.apps/my-kustomized\n');
    expect(await attempt(['diff', '-k', folder])).toMatchObject({ exitCode: 0, stdout: '' });
    expect(await attempt(['apply', '-k', folder, '-f', folder])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('only one of -f or -k can be specified') as string });
    expect(await cleat('delete', '-k', folder)).toBe('configmap "my-settings-756gt6dc97" deleted\ndeployment.apps "my-kustomized" deleted\n');
  });

  it('say where the cluster is, and serve its API to kubectl', async () => {
    const plain = (text: string): string => stripVTControlCharacters(text).replaceAll('kubectl', 'cleat');
    expect(await cleat('cluster-info')).toBe(plain(await cluster.kubectl(['cluster-info'])));
    expect(await cleat('cluster-info', 'dump', `--output-directory=${join(dir, 'dump')}`)).toBe(`Cluster info dumped to ${join(dir, 'dump')}\n`);
    expect(JSON.parse(readFileSync(join(dir, 'dump/nodes.json'), 'utf8'))).toMatchObject({ kind: 'NodeList', items: [{}, {}] });
    const proxy = cluster.controlPlaneHost.spawn('proxy', executable, ['proxy', '--port=0'], { env });
    await proxy.waitForOutput(/Starting to serve on 127\.0\.0\.1:\d+\n/);
    const server = `http://${/127\.0\.0\.1:\d+/.exec(proxy.output())?.[0] ?? ''}`;
    expect(await cluster.kubectl(['get', 'nodes', '-o', 'name', '-s', server], { env: { KUBECONFIG: '/dev/null' } })).toBe('node/host0\nnode/host1\n');
    expect((await cluster.controlPlaneHost.execOk('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `${server}/api/v1/namespaces/default/pods/x/exec`]))).toBe('403');
    expect((await proxy.kill('SIGINT')).code).toBe(130);
  });

  it('roll out and back', async () => {
    await cleat('rollout', 'restart', 'deployment/web');
    expect(await cleat('rollout', 'status', 'deployment/web', '--timeout=60s')).toMatch(/deployment "web" successfully rolled out\n$/);
    expect(await cleat('rollout', 'history', 'deployment/web')).toBe(await cluster.kubectl(['rollout', 'history', 'deployment/web']));
    expect(await cleat('rollout', 'undo', 'deployment/web')).toBe('deployment.apps/web rolled back\n');
    expect(await cleat('rollout', 'pause', 'deployment/web') + await cleat('rollout', 'resume', 'deployment/web')).toBe('deployment.apps/web paused\ndeployment.apps/web resumed\n');
    expect(await cleat('wait', 'deployment/web', '--for=condition=Available', '--timeout=60s')).toBe('deployment.apps/web condition met\n');
    expect(await attempt(['wait', 'deploy/web', "--for=jsonpath={.spec.replicas}=9", '--timeout=1s'])).toMatchObject({ exitCode: 1, stderr: 'error: timed out waiting for the condition on deployments/web\n' });
  });

  it.each<string[]>([
    ['api-resources', '-o', 'wide'], ['api-versions'], ['auth', 'can-i', 'get', 'pods', '--as=jane'], ['auth', 'whoami'], ['config', 'get-contexts'], ['config', 'view'], ['explain', 'pod.spec.containers.ports'], ['get', 'pods', 'nosuch', 'nosuch2'],
    ['get', 'deploy', 'web', '-o', 'go-template={{range .spec.template.spec.containers}}{{.name}}{{"\\n"}}{{end}}'], ['get', 'deploy', 'web', '-o', 'jsonpath-as-json={.metadata.name}'], ['get', 'pods', '-l', 'a in b'], ['logs', 'nosuch'], ['scale', 'deploy/nosuch', '--replicas=1'],
  ])('read as kubectl writes: %s %s %s %s', async (...args) => {
    const lines = ({ exitCode, stdout, stderr }: ExecResult): unknown => [exitCode, stdout.replaceAll(/ +$/gm, ''), stderr];
    expect(lines(await attempt(args))).toEqual(lines(await cluster.kubectlResult(args)));
  });

  it.each([['token', 'list'], ['net'], ['net', 'check'], ['device', 'list'], ['certs', 'status'], ['nodes'], ['image', 'list'], ['doctor', '--lookup=']])('tell programs in JSON: %s %s', async (...args) => {
    expect(JSON.parse((await attempt([...args, '-o', 'json'])).stdout)).toBeTypeOf('object');
    expect(await attempt([...args, '-o', 'xml'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('json') as string });
  });

  it('make tokens for programs', async () => {
    const made = JSON.parse(await cleat('token', 'create', '--ttl=1h', '--one-time', '-o', 'json')) as Record<string, string>;
    expect(made).toMatchObject({ id: expect.stringMatching(/^[a-z0-9]{6}$/) as string, server: cluster.server, command: `cleat agent --server ${cluster.server} --token ${made['token'] ?? ''}` });
    const [listed] = (JSON.parse(await cleat('token', 'list', '-o', 'json')) as { id: string }[]).filter(({ id }) => id === made['id']);
    expect(listed).toMatchObject({ oneTime: true, used: false, expires: made['expires'] });
    expect(JSON.stringify(listed)).not.toContain(made['token']?.split('.')[1]);
  });

  it('logs of all hosts say which host each line is from', async () => {
    await cluster.apply([0, 1].map((i) => pod(`speaks-${String(i)}`, { command: ['sh', '-c', 'echo spoken; exec sleep 1000'] }, { nodeName: `host${String(i)}` })).map((each) => ({ ...each, metadata: { name: (each as { metadata: { name: string } }).metadata.name, labels: { speaks: 'yes' } } })));
    await cleat('wait', 'pod', '-l', 'speaks=yes', '--for=condition=Ready', '--timeout=60s');
    expect((await cleat('logs', '-l', 'speaks=yes', '--all-nodes')).trim().split('\n').sort()).toEqual(['[host0 pod/speaks-0/c] spoken', '[host1 pod/speaks-1/c] spoken']);
    await cleat('delete', 'pods', '-l', 'speaks=yes', '--now');
  });

  it('complete names', async () => {
    expect(await cleat('__complete', 'get', 'deploy', 'w')).toBe('web\n');
    expect(await cleat('__complete', 'drain', 'host')).toBe('host0\nhost1\n');
  });

  it.each(['bash', 'zsh', 'fish'])('complete verbs, kinds, names and flags in %s', async (shell) => {
    const typed = (keys: string): Promise<ExecResult> => cluster.controlPlaneHost.exec('zsh', ['-f', join(import.meta.dirname, '../support/complete.zsh'), shell, `cleat ${keys}`], { timeoutMs: 60_000, env: { ...env, CLEAT: executable } });
    expect(await typed('rollo\tresta\tdeploym\tw\t --dry-r\t')).toMatchObject({ stdout: 'rollout restart deployments web --dry-run\n', exitCode: 0 });
  });

  it('remove a node only when its agent has been stopped', async () => {
    expect(await attempt(['node', 'remove', 'host1'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('its agent would report again') as string });
  });
});
