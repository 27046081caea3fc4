import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';

/**
 * Stock kubectl, every version on this machine, against a cluster that runs real containers. The oldest and the newest
 * walk through all of it, those between through what people type every day.
 */
const versions = await kubectlVersions();
const full = [...new Set([versions[0], versions.at(-1)])].flatMap((version) => version ?? []);
const short = versions.filter((version) => !full.includes(version));
const label = ({ path, minor }: (typeof versions)[number]): string => `1.${String(minor)} ${path.split('/').at(-1) ?? ''}`;
const namespaceOf = (version: (typeof versions)[number]): string => `v${String(versions.indexOf(version))}-1-${String(version.minor)}`;

let cluster: Cluster;
let node: string;
beforeAll(async () => {
  cluster = await Cluster.create({ agents: 0, allInOne: true });
  await cluster.importImage();
  node = cluster.controlPlaneHost.name;
});
afterAll(async () => { await cluster?.destroy(); });

const image = 'cleat-hello:1';
const stay = 'trap exit TERM; echo one; echo two; while :; do sleep 1 & wait $!; done';
const app = (change: { replicas?: number; side?: boolean; env?: string; ports?: string; data?: string } = {}): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}, annotations: {note: first}}
spec:
  replicas: ${String(change.replicas ?? 2)}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: ${image}
        ports: [${change.ports ?? '{containerPort: 8080, name: http}, {containerPort: 8081, name: other}'}]
        env: [${change.env ?? '{name: A, value: "1"}, {name: B, value: "2"}'}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
${change.side === false ? '' : `      - name: side
        image: ${image}
        command: [sh, -c, "${stay}"]
`}---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: ${change.data ?? '{a: "1", b: "2"}'}
`;
const podOf = (name: string, command: string, policy = 'Always'): string => JSON.stringify({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { walk: 'logs' } },
  spec: { terminationGracePeriodSeconds: 1, restartPolicy: policy, containers: [{ name: 'main', image, command: ['sh', '-c', command] }] },
});

/** Clients look into OpenAPI whether the server knows dry runs, those before 1.27 in protobuf. */
async function checkDryRun(k: Kubectl): Promise<void> {
  const differs = await k.result(['diff', '-f', '-'], { input: app({ replicas: 1 }) });
  expect(differs.exitCode).toBe(1);
  expect(differs.stdout).toMatch(/^-  replicas: 2\n\+  replicas: 1$/m);
  expect((await k.result(['diff', '-f', '-'], { input: app() })).exitCode).toBe(0);
  expect(await k.words('apply --dry-run=server -f -', app({ replicas: 1 }))).toContain('deployment.apps/web configured (server dry run)');
  expect(await k.words('get deployment web -o jsonpath={.spec.replicas}')).toBe('2');
  expect(await k.words(`run solo --image=${image} --labels=a=b --env=X=y --port=8080 --dry-run=server -o name`)).toBe('pod/solo\n');
}

/** Server-side apply, and taking over what was applied by the client before. */
async function checkServerSide(k: Kubectl): Promise<void> {
  const map = (name: string, data: object): string => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
  expect(await k.words('apply --server-side -f -', map('owned', { a: '1', b: '2' }))).toBe('configmap/owned serverside-applied\n');
  expect(await k.fails('apply --server-side --field-manager=other -f -', map('owned', { a: '2' }))).toContain('Apply failed with 1 conflict: conflict with "kubectl": .data.a');
  expect(await k.words('apply --server-side --field-manager=other --force-conflicts -f -', map('owned', { a: '2' }))).toBe('configmap/owned serverside-applied\n');
  await k.words('apply --server-side -f -', map('owned', { b: '3' }));
  expect(JSON.parse(await k.words('get configmap owned -o jsonpath={.data}'))).toEqual({ a: '2', b: '3' });
  const owners = await k.words(`get configmap owned -o yaml${k.minor >= 21 ? ' --show-managed-fields' : ''}`);
  for (const owner of ['kubectl', 'other']) expect(owners).toMatch(new RegExp(`managedFields:\\n {2}- apiVersion: v1\\n {4}fieldsType: FieldsV1\\n[^]* {4}manager: ${owner}\\n {4}operation: Apply\\n`));
  if (k.minor >= 21) expect(await k.words('get configmap owned -o yaml')).not.toContain('managedFields');
  await k.words('apply -f -', map('taken', { a: '1', b: '2' }));
  expect(await k.words('apply --server-side -f -', map('taken', { a: '3' }))).toBe('configmap/taken serverside-applied\n');
  // Since 1.26 kubectl hands over what it owned as a client, so that what is said no more goes.
  if (k.minor >= 26) expect(JSON.parse(await k.words('get configmap taken -o jsonpath={.data}'))).toEqual({ a: '3' });
}

describe.each(full.map((version) => [label(version), version] as const))('kubectl %s', (_, version) => {
  let k: Kubectl;
  const since = (minor: number): boolean => version.minor >= minor;
  beforeAll(async () => {
    k = new Kubectl(cluster, version, namespaceOf(version));
    expect(await k.words(`create namespace ${k.namespace}`)).toBe(`namespace/${k.namespace} created\n`);
  });
  afterAll(async () => { await k.words(`delete namespace ${k.namespace} --wait=false`); });

  it('knows the server', async () => {
    expect(await k.words('version')).toMatch(/Server Version: .*v1\.34\.0\+cleat\.\d+\.\d+\.\d+/);
    expect(await k.words('cluster-info')).toContain('is running at https://');
    expect(await k.words('api-versions')).toMatch(/^apps\/v1\nauthentication\.k8s\.io\/v1\n[^]*metrics\.k8s\.io\/v1beta1\n[^]*\nv1\n$/m);
    const resources = await k.words('api-resources');
    expect(resources).toMatch(/^NAME +SHORTNAMES +API\w+ +NAMESPACED +KIND\n/);
    expect(resources).toMatch(/\ndeployments +deploy +apps(\/v1)? +true +Deployment\n/);
    expect(await k.words('api-resources --namespaced=false -o name')).toContain('nodes\n');
    expect(await k.words('explain deployment.spec.strategy')).toMatch(since(27) ? /^GROUP: +apps\nKIND: +Deployment\nVERSION: +v1\n[^]*rollingUpdate\t<RollingUpdateDeployment>/ : /^KIND: +Deployment\nVERSION: +apps\/v1\n[^]*rollingUpdate\t<Object>/);
    expect(await k.words('explain pods --recursive')).toMatch(/initContainers[^]*terminationGracePeriodSeconds/);
    if (since(27)) expect(await k.words('explain cronjob.spec.jobTemplate --output=plaintext-openapiv2')).toMatch(/^KIND: +CronJob\nVERSION: +batch\/v1\n/);
    expect(await k.words('api-resources --api-group=batch -o name')).toBe('cronjobs.batch\njobs.batch\n');
    expect(await k.words('get --raw /readyz?verbose')).toMatch(/^(\[\+\]\S+ ok\n)*\[\+\]etcd ok\n(\[\+\]\S+ ok\n)*readyz check passed\n$/);
    expect(await k.words('get --raw /metrics')).toMatch(/^apiserver_request_total\{verb="GET",.*code="200"\} \d+$/m);
    expect(await k.words('get --raw /openapi/v2')).toMatch(/^\{"swagger":"2.0",/);
    expect(await k.words('auth can-i create deployments')).toBe('yes\n');
    expect(await k.fails('auth can-i create deployments --as=jane')).not.toContain('panic');
    expect(await k.fails('get pods --as=jane')).toContain(`pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "${k.namespace}"`);
    if (since(28)) expect(await k.words('auth whoami -o jsonpath={.status.userInfo.username}')).toBe('admin');
  });

  it('applies: created, unchanged, configured, pruned', async () => {
    expect(await k.words('apply -f -', app())).toBe('deployment.apps/web created\nservice/web created\nconfigmap/settings created\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('deployment "web" successfully rolled out\n');
    expect(await k.words('apply -f -', app())).toBe('deployment.apps/web unchanged\nservice/web unchanged\nconfigmap/settings unchanged\n');
    await checkDryRun(k);

    // What is no longer in the manifest goes; what others have set stays.
    await k.words('annotate deployment web other=kept');
    const changed = app({ env: '{name: A, value: "1"}', ports: '{containerPort: 8080, name: http}', data: '{a: "1", c: "3"}' });
    expect(await k.words('apply -f -', changed)).toBe('deployment.apps/web configured\nservice/web unchanged\nconfigmap/settings configured\n');
    expect(await k.words('get deployment web -o jsonpath={.metadata.annotations.other},{.spec.template.spec.containers[0].env[*].name},{.spec.template.spec.containers[0].ports[*].name}')).toBe('kept,A,http');
    expect(JSON.parse(await k.words('get configmap settings -o jsonpath={.data}'))).toEqual({ a: '1', c: '3' });
    expect(await k.words('apply -f -', app({ side: false }))).toContain('deployment.apps/web configured\n');
    expect(await k.words('get deployment web -o jsonpath={.spec.template.spec.containers[*].name}')).toBe('web');
    expect(await k.words('apply view-last-applied configmap/settings')).toContain('b: "2"');

    const map = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { prune: 'yes' } } });
    const allow = `apply -f - --prune -l prune=yes ${since(26) ? '--prune-allowlist' : '--prune-whitelist'}=core/v1/ConfigMap`;
    await k.words(allow, map('old'));
    expect(await k.words(allow, map('new'))).toMatch(/^configmap\/new created\nconfigmap\/old pruned\n$/);
    expect(await k.fails('apply --validate=true -f -', app().replace('replicas: 2', 'replicaz: 2'))).toMatch(/unknown field "?(spec\.)?replicaz"?/);
    if (since(25)) expect((await k.result(['apply', '--validate=warn', '-f', '-'], { input: app().replace('replicas: 2', 'replicaz: 2') })).stderr).toContain('Warning: unknown field "spec.replicaz"');
    await k.words('apply -f -', app());
    expect(await k.fails('create -f -', app())).toContain('Error from server (AlreadyExists): error when creating "STDIN": deployments.apps "web" already exists');
    await checkServerSide(k);
    await k.words('apply -f -', app());
    await k.words('rollout status deployment/web --timeout=30s');
    await k.until('get pods -l app=web --no-headers', /^(web-\S+ +2\/2 +Running +0 +\S+\n){2}$/);
  });

  it('gets in every form', async () => {
    expect(await k.words('get pods')).toMatch(/^NAME +READY +STATUS +RESTARTS +AGE\n(web-[a-z0-9]+-[a-z0-9]{5} +2\/2 +Running +0 +\d+s\n){2}$/);
    expect(await k.words('get pods -o wide')).toMatch(/ AGE +IP +NODE +NOMINATED NODE +READINESS GATES\n(.* 10\.42\.\d+\.\d+ +\S+ +<none> +<none>\n){2}$/);
    expect(await k.words('get deployment web')).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +2\/2 +2 +2 +\S+\n$/);
    expect(await k.words('get services')).toMatch(/^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE\nweb +ClusterIP +10\.43\.\d+\.\d+ +<none> +80\/TCP +\S+\n$/);
    expect(await k.words('get nodes')).toMatch(new RegExp(`^NAME +STATUS +ROLES +AGE +VERSION\n${node} +Ready +<none> +\\S+ +v1\\.34\\.0\\+cleat\\S+\n$`));
    expect(await k.words('get configmap settings')).toMatch(/^NAME +DATA +AGE\nsettings +2 +\S+\n$/);
    expect(await k.words('get all -o name')).toMatch(/^pod\/web-\S+\npod\/web-\S+\nservice\/web\ndeployment.apps\/web\n(replicaset.apps\/web-\S+\n)+$/);
    expect(await k.words('get pods -A -l app=web --no-headers')).toMatch(new RegExp(`^(${k.namespace} +web-[^\n]*\n){2}`, 'm'));
    expect(await k.words('get pods --field-selector status.phase=Running,spec.nodeName!=nowhere -o name')).toMatch(/^(pod\/web-\S+\n){2}$/);
    expect(await k.words('get configmap settings --show-labels --no-headers')).toMatch(/ app=web\n$/);
    expect(await k.words('get configmaps -L app --no-headers')).toMatch(/^settings .* web$/m);
    const names = async (sort: string): Promise<string[]> => (await k.words(`get configmaps --sort-by=${sort} -o custom-columns=N:.metadata.name --no-headers`)).trim().split('\n');
    expect(await names('.metadata.name')).toEqual([...await names('.metadata.name')].sort());
    expect(await k.words('get configmap settings -o yaml')).toMatch(/^apiVersion: v1\ndata:\n {2}a: "1"\n {2}b: "2"\nkind: ConfigMap\nmetadata:\n/);
    expect(JSON.parse(await k.words('get configmaps,services -o json'))).toMatchObject({ kind: 'List', apiVersion: 'v1' });
    expect(await k.words('get configmap settings -o custom-columns=NAME:.metadata.name,B:.data.b')).toBe('NAME       B\nsettings   2\n');
    expect(await k.run(['get', 'pods', '-l', 'app in (web),!nothing', '-o', 'go-template={{len .items}}'])).toBe('2');
    expect(await k.words('get pods --chunk-size=1 --no-headers')).toMatch(/^(web-.*\n){2}$/);
    expect(await k.words('get --raw /api/v1/namespaces?limit=1')).toContain('"remainingItemCount"');
    expect((await k.result(['get', 'secrets'])).stderr).toBe(`No resources found in ${k.namespace} namespace.\n`);
    expect(await k.fails('get pods nope')).toBe('Error from server (NotFound): pods "nope" not found\n');
    expect(await k.fails('get nopes')).toBe('error: the server doesn\'t have a resource type "nopes"\n');
    expect(await k.words('get pods nope --ignore-not-found')).toBe('');
    if (since(24)) expect(await k.words('get deployment web --subresource=scale')).toMatch(/^NAME +DESIRED +AVAILABLE +AGE\nweb +2 +2 +\S+\n$/);
  });

  it('watches', async () => {
    const watch = k.spawn('watch', 'get configmaps -w -l watched=yes --output-watch-events');
    await k.words('create configmap w1 --from-literal=a=b');
    await k.words('label configmap w1 watched=yes');
    await watch.waitForOutput(/ADDED +w1 +1/);
    await k.words('annotate configmap w1 x=y');
    await watch.waitForOutput(/MODIFIED +w1 +1/);
    await k.words('delete configmap w1');
    await watch.waitForOutput(/DELETED +w1 +1/);
    expect(watch.output()).toMatch(/^EVENT +NAME +DATA +AGE\n/);
    await watch.kill();
  });

  it('describes every kind', async () => {
    const pod = await k.words('describe pods -l app=web');
    for (const part of [/^Name: +web-/m, /^Node: +\S+\/\d/m, /^Status: +Running/m, /^Controlled By: +ReplicaSet\/web-/m, /Container ID: +containerd:\/\//, /State: +Running/, /^QoS Class: +BestEffort/m, /Normal +Scheduled .*Successfully assigned/, /Normal +Started .*Started container web/]) expect(pod).toMatch(part);
    const order = ['Scheduled', 'Pulled', 'Created', 'Started'].map((reason) => pod.indexOf(`  ${reason} `));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const deployment = await k.words('describe deployment web');
    for (const part of [/^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable/m, /^StrategyType: +RollingUpdate/m, /^NewReplicaSet: +web-\S+ \(2\/2 replicas created\)/m, /Available +True +MinimumReplicasAvailable/, /ScalingReplicaSet/]) expect(deployment).toMatch(part);
    expect(await k.words('describe replicasets')).toMatch(/Pods Status: +2 Running \/ 0 Waiting \/ 0 Succeeded \/ 0 Failed/);
    expect(await k.words('describe service web')).toMatch(/Endpoints: +10\.42\.\d+\.\d+:8080,10\.42/);
    expect(await k.words('describe endpoints web')).toMatch(/Addresses: +10\.42/);
    if (since(21)) expect(await k.words('describe endpointslices')).toMatch(/AddressType: +IPv4/);
    expect(await k.words(`describe node ${node}`)).toMatch(new RegExp(`Non-terminated Pods:[^]*${k.namespace} +web-`));
    expect(await k.words(`describe namespace ${k.namespace}`)).toMatch(/^Status: +Active/m);
    expect(await k.words('describe configmap settings')).toMatch(/^Data\n====\n[^]*^a:\n----\n1\n/m);
    expect(await k.words('describe serviceaccount default')).toMatch(/^Name: +default/m);
    await k.words('create secret generic hidden --from-literal=password=secret');
    expect(await k.words('describe secret hidden')).toMatch(/^password: +6 bytes/m);
    expect(await k.words(`-n kube-node-lease describe lease ${node}`)).toMatch(new RegExp(`Holder Identity: +${node}`));
    expect(await k.words('describe events')).toContain('Involved Object:');
    expect(await k.words('get events')).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/);
  });

  it('creates by its generators', async () => {
    expect(await k.words(`create deployment made --image=${image} --replicas=1 --port=8080`)).toBe('deployment.apps/made created\n');
    expect(await k.words('create configmap made --from-literal=a=b')).toBe('configmap/made created\n');
    expect(await k.words('create secret generic made --from-literal=a=b')).toBe('secret/made created\n');
    expect(await k.words('create secret docker-registry registry --docker-server=x --docker-username=u --docker-password=p')).toBe('secret/registry created\n');
    expect(await k.words('create serviceaccount made')).toBe('serviceaccount/made created\n');
    expect(await k.words('create service clusterip made --tcp=80:8080')).toBe('service/made created\n');
    expect(await k.words('create service nodeport made-np --tcp=80:8080')).toBe('service/made-np created\n');
    expect(await k.words('create service loadbalancer made-lb --tcp=80:8080')).toBe('service/made-lb created\n');
    expect(await k.words('create service externalname made-en --external-name=example.com')).toBe('service/made-en created\n');
    expect(await k.words('get services made-np made-lb made-en --no-headers')).toMatch(/^made-np +NodePort +\S+ +<none> +80:3\d{4}\/TCP .*\nmade-lb +LoadBalancer +\S+ +(?:<pending>|[\d.]+) +80:3\d{4}\/TCP .*\nmade-en +ExternalName +<none> +example.com +(<none>|80\/TCP) .*\n$/);
    expect(await k.words('get secret registry -o jsonpath={.type}')).toBe('kubernetes.io/dockerconfigjson');
    expect(await k.words('get secret made -o jsonpath={.data.a}')).toBe('Yg==');
    expect(await k.words(`run solo --image=${image} --labels=a=b --env=X=y --port=8080`)).toBe('pod/solo created\n');
    await k.words('delete pod solo --wait=false --grace-period=0 --force');
    expect(await k.words('expose deployment made --name=exposed --port=80 --target-port=8080')).toBe('service/exposed exposed\n');
    expect(await k.words('delete service made made-np made-lb made-en exposed')).toContain('service "made-lb" deleted');
  });

  it('reads logs', async () => {
    for (const [name, command, policy] of [['logs', stay], ['crash', 'echo boom; exit 3'], ['done', 'echo bye', 'Never']] as const) await k.words('create -f -', podOf(name, command, policy));
    await k.until('get pod done --no-headers', /^done +0\/1 +Completed /);
    await k.until('get pod crash -o jsonpath={.status.containerStatuses[0].restartCount}', /^[1-9]/);
    expect(await k.words('logs crash --previous')).toBe('boom\n');
    expect(await k.words('logs done')).toBe('bye\n');
    await k.words('wait --for=condition=Ready pod/logs --timeout=20s');
    expect(await k.words('logs logs')).toBe('one\ntwo\n');
    expect(await k.words('logs logs --tail=1')).toBe('two\n');
    expect(await k.words('logs logs --timestamps')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z one\n/);
    expect(await k.words('logs logs --since=1h --limit-bytes=3')).toBe('one');
    expect(await k.words('logs logs -c main --since-time=2100-01-01T00:00:00Z')).toBe('');
    expect(await k.words('logs -l app=web --all-containers --prefix --tail=5')).toMatch(/^\[pod\/web-\S+\/side\] one$/m);
    expect(await k.words('logs deployment/web -c side')).toBe('one\ntwo\n');
    const follow = k.spawn('follow', 'logs -f logs');
    await follow.waitForOutput('two');
    expect(await k.fails('logs nope')).toContain('pods "nope" not found');
    expect(await k.fails('logs logs --previous')).toMatch(/previous terminated container "main" in pod "logs" not found/);
    expect(await k.fails('logs logs -c nope')).toContain('container nope is not valid for pod logs');
    await k.words('delete pod logs');
    expect((await follow.exited).code).toBe(0);
  });

  it('waits', async () => {
    expect(await k.words('wait --for=condition=Available deployment/web --timeout=20s')).toBe('deployment.apps/web condition met\n');
    if (since(23)) expect(await k.words('wait --for=jsonpath={.status.phase}=Succeeded pod/done --timeout=5s')).toBe('pod/done condition met\n');
    expect(await k.fails('wait --for=condition=Ready pod/done --timeout=1s')).toContain('timed out waiting for the condition on pods/done');
    const wait = k.spawn('wait', 'wait --for=delete pod/crash --timeout=20s');
    await k.words('delete pod crash --wait=false');
    expect((await wait.exited).code).toBe(0);
  });

  it('labels, annotates, patches, sets, edits and replaces', async () => {
    expect(await k.words('label configmap settings x=y')).toBe('configmap/settings labeled\n');
    expect(await k.fails('label configmap settings x=z')).toContain('already has a value (y), and --overwrite is false');
    expect(await k.words('label configmap settings x=z --overwrite')).toBe('configmap/settings labeled\n');
    expect(await k.words('label configmap settings x-')).toMatch(/^configmap\/settings (un)?labeled\n$/);
    expect(await k.words('annotate configmap settings x=y')).toMatch(/^configmap\/settings annotated?\n$/);
    const patch = (...args: string[]): Promise<string> => k.run(['patch', 'deployment', 'made', ...args]);
    const strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"cleat-hello","env":[{"name":"S","value":"1"}]}],"terminationGracePeriodSeconds":1}}}}';
    expect(await patch('-p', strategic)).toBe('deployment.apps/made patched\n');
    // kubectl compares the whole object before and after, so what the patch set off has to be over first.
    await k.until(`patch deployment made -p ${strategic}`, /^deployment\.apps\/made patched \(no change\)\n$/);
    expect(await patch('--type=merge', '-p', '{"spec":{"replicas":2}}')).toBe('deployment.apps/made patched\n');
    expect(await patch('--type=json', '-p', '[{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":1}]')).toBe('deployment.apps/made patched\n');
    expect((await k.result(['patch', 'deployment', 'made', '-p', '{"spec":{"replicas":-1}}'])).stderr).toContain('The Deployment "made" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0');
    if (since(24)) await k.until('patch deployment made --subresource=status --type=merge -p {"spec":{"replicas":9}}', /patched \(no change\)/);
    expect(await k.words(`set image deployment/made cleat-hello=docker.io/library/${image}`)).toBe('deployment.apps/made image updated\n');
    expect(await k.words('set env deployment/made FOO=bar')).toBe('deployment.apps/made env updated\n');
    expect(await k.words('set resources deployment/made --requests=cpu=10m,memory=16Mi --limits=memory=64Mi')).toBe('deployment.apps/made resource requirements updated\n');
    expect(await k.words('set serviceaccount deployment/made made')).toBe('deployment.apps/made serviceaccount updated\n');
    expect(await k.words('get deployment made -o jsonpath={.spec.template.spec.containers[0].resources.requests.memory},{.spec.template.spec.containers[0].env[*].name},{.spec.replicas}')).toMatch(/^16Mi,(S FOO|FOO S),1$/);
    expect(await k.words('rollout status deployment/made --timeout=30s')).toContain('successfully rolled out');
    expect(await k.run(['edit', 'configmap', 'settings'], { env: { KUBE_EDITOR: 'sed -i /^..b:/s/2/two/' } })).toBe('configmap/settings edited\n');
    const current = await k.words('get configmap settings -o yaml');
    expect(current).toContain('b: two');
    expect(await k.words('replace -f -', current.replace('b: two', 'b: three'))).toBe('configmap/settings replaced\n');
    expect(await k.fails('replace -f -', current)).toContain('Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on configmaps "settings": the object has been modified; please apply your changes to the latest version and try again');
    expect(await k.words('replace --force -f -', current.replace(/^ {2}(resourceVersion|uid): .*\n/gm, ''))).toBe('configmap "settings" deleted\nconfigmap/settings replaced\n');
  });

  it('scales and rolls out', async () => {
    expect(await k.words('scale deployment web --replicas=3')).toBe('deployment.apps/web scaled\n');
    expect(await k.fails('scale deployment web --replicas=1 --current-replicas=7')).toContain('Expected replicas to be 7, was 3');
    expect(await k.words('rollout pause deployment/web')).toBe('deployment.apps/web paused\n');
    expect(await k.fails('rollout restart deployment/web')).toContain("can't restart paused deployment");
    expect(await k.words('rollout resume deployment/web')).toBe('deployment.apps/web resumed\n');
    expect(await k.words('scale deployment web --replicas=1')).toBe('deployment.apps/web scaled\n');
    expect(await k.words('rollout restart deployment/web')).toBe('deployment.apps/web restarted\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
    expect(await k.words('rollout history deployment/web')).toMatch(/^deployment\.apps\/web \nREVISION {2}CHANGE-CAUSE\n(\d+ +<none>\n){2,}/);
    const newest = Number((await k.words('rollout history deployment/web')).trim().split('\n').at(-1)?.split(' ')[0]);
    expect(await k.words(`rollout history deployment/web --revision=${String(newest)}`)).toMatch(/Pod Template:[^]*kubectl.kubernetes.io\/restartedAt/);
    expect(await k.words('rollout undo deployment/web')).toBe('deployment.apps/web rolled back\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
    expect(await k.words('get deployment web -o jsonpath={.spec.template.metadata.annotations}')).toBe('');
    expect(await k.fails('rollout undo deployment/web --to-revision=99')).toContain('unable to find specified revision 99 in history');
  });

  it('looks at usage', async () => {
    await k.until('top nodes', new RegExp(`^NAME .*\n${node} +\\d+m +\\d+% +\\d+Mi +\\d+% *\n$`));
    await k.until('top pods --containers -l app=web', /^POD +NAME +CPU\(cores\) +MEMORY\(bytes\) *\n(web-\S+ +(web|side) +\d+m +\d+Mi *\n){2}$/);
  });

  it('keeps pods away from nodes', async () => {
    expect(await k.words(`taint node ${node} walk=here:NoSchedule`)).toBe(`node/${node} tainted\n`);
    expect(await k.fails(`taint node ${node} walk=there:NoSchedule`)).toContain('--overwrite is false');
    expect(await k.words(`taint node ${node} walk-`)).toBe(`node/${node} untainted\n`);
    expect(await k.words(`cordon ${node}`)).toBe(`node/${node} cordoned\n`);
    expect(await k.words('get nodes --no-headers')).toContain(' Ready,SchedulingDisabled ');
    expect(await k.words(`drain ${node} --force --ignore-daemonsets --pod-selector=app=web --timeout=30s`)).toMatch(/^node\/\S+ already cordoned\n[^]*pod\/web-\S+ (evicted|deleted)\n(node\/\S+ (drained|evicted|deleted)\n)?$/);
    expect(await k.words('get pods -l app=web --no-headers')).toMatch(/^web-\S+ +0\/2 +Pending .*\n$/);
    await k.until('get events --field-selector reason=FailedScheduling', /0\/1 nodes are available/);
    expect(await k.words(`uncordon ${node}`)).toBe(`node/${node} uncordoned\n`);
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
  });

  it('runs commands in containers, and scales by usage', async () => {
    const pod = (await k.words('get pods -l app=web -o name')).trim();
    expect(await k.words(`exec ${pod} -c web -- echo hello`)).toBe('hello\n');
    expect(await k.words('autoscale deployment web --max=2')).toBe('horizontalpodautoscaler.autoscaling/web autoscaled\n');
    expect(await k.words('get hpa web --no-headers')).toMatch(/^web +Deployment\/web +(cpu: )?<unknown>\/80% +1 +2 +\d+ +/);
    expect(await k.words('delete hpa web')).toBe('horizontalpodautoscaler.autoscaling "web" deleted\n');
  });

  it('deletes', async () => {
    expect(await k.words('delete configmap made')).toBe('configmap "made" deleted\n');
    expect(await k.words('delete configmaps,secrets -l app=web')).toBe('configmap "settings" deleted\n');
    expect(await k.words('delete pod done --grace-period=1')).toBe('pod "done" deleted\n');
    expect(await k.fails('delete pod done')).toBe('Error from server (NotFound): pods "done" not found\n');
    expect(await k.words('delete pod done --ignore-not-found')).toBe('');
    const [name = ''] = (await k.words('get pods -l app=made -o name')).trim().split('\n');
    expect(await k.words(`delete ${name} --force --grace-period=0`)).toContain(`pod "${name.slice(4)}" force deleted`);

    const owner = 'get replicasets -l app=made -o jsonpath={.items[*].metadata.ownerReferences[*].kind}';
    expect(await k.words(owner)).toContain('Deployment');
    expect(await k.words('delete deployment made --cascade=orphan')).toBe('deployment.apps "made" deleted\n');
    expect(await k.words(owner)).toBe('');
    expect(await k.words('get replicasets -l app=made -o name')).not.toBe('');
    await k.words('delete replicasets -l app=made --cascade=background --wait=false');
    expect(await k.words('delete deployment web --cascade=foreground')).toBe('deployment.apps "web" deleted\n');
    // Foreground: when the delete returns, so are those that it owned.
    expect(await k.words('get pods,replicasets -l app=web -o name')).toBe('');
    expect(await k.words('delete -f - --ignore-not-found', app())).toBe('service "web" deleted\n');
    await k.until('get pods -o name', '');
  });
});

describe.each(short.map((version) => [label(version), version] as const))('kubectl %s', (_, version) => {
  it('walks what people type every day', async () => {
    const k = new Kubectl(cluster, version, namespaceOf(version));
    await k.words(`create namespace ${k.namespace}`);
    expect(await k.words('apply -f -', app())).toBe('deployment.apps/web created\nservice/web created\nconfigmap/settings created\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
    expect(await k.words('apply -f -', app({ side: false, data: '{a: "1"}' }))).toBe('deployment.apps/web configured\nservice/web unchanged\nconfigmap/settings configured\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
    expect(await k.words('get deployment web --no-headers')).toMatch(/^web +2\/2 +2 +2 /);
    expect(await k.words('describe deployment web')).toMatch(/2 desired \| 2 updated/);
    // Pods of the rollout before may still be on their way out, and never have run.
    await k.until('get pods -l app=web -o name', /^(?:pod\/\S+\n){2}$/);
    expect(await k.words('logs -l app=web')).toBe('');
    expect(await k.words('label deployment web x=y')).toBe('deployment.apps/web labeled\n');
    expect(await k.words('scale deployment web --replicas=1')).toBe('deployment.apps/web scaled\n');
    expect(await k.words('rollout undo deployment/web')).toBe('deployment.apps/web rolled back\n');
    expect(await k.words('rollout status deployment/web --timeout=30s')).toContain('successfully rolled out');
    await k.until('top pods', /^NAME .*\nweb-/);
    expect(await k.words(`delete namespace ${k.namespace}`)).toContain(`namespace "${k.namespace}" deleted\n`);
  });
});
