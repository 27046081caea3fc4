import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exec, execOk } from '#common/exec.ts';
import { nodes } from '#api/kinds/resources.ts';
import { TestServer } from './test-server.ts';
import type { NodeGateway } from './types.ts';

/** Stock kubectl, every version on this machine, against a listening server. The one on the PATH must be there. */
const onPath = (await execOk('sh', ['-c', 'command -v kubectl'])).trim();
const folder = path.dirname(realpathSync(onPath));
const versions = readdirSync(folder).filter((file) => /^kubectl\.1\.\d+$/.test(file)).sort().map((file) => path.join(folder, file));

const gateway: NodeGateway = {
  async * logs(_node, request) { yield Buffer.from(`one\n${request.container} tail=${String(request.tailLines)}\n`); await Promise.resolve(); },
  usage: () => Promise.resolve({ atMs: Date.now(), windowMs: 10_000, node: { cpuMillis: 250, memoryBytes: 512 << 20 }, pods: [] }),
};

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "busybox:1", ports: [{containerPort: 80}], env: [{name: A, value: "1"}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}], type: NodePort}
---
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {x: "1"}}
spec: {nodeName: n1, containers: [{name: c, image: busybox}, {name: d, image: busybox}]}
`;

let server: TestServer;
let home: string;
beforeAll(async () => {
  server = await TestServer.start({ nodes: gateway });
  home = mkdtempSync(path.join(tmpdir(), 'cleat-kubectl-'));
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  writeFileSync(path.join(home, 'kubeconfig'), JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'c', contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${String(server.port)}`, 'certificate-authority-data': base64(server.caPem) } }],
    users: [{ name: 'u', user: { 'client-certificate-data': base64(server.admin.cert), 'client-key-data': base64(server.admin.key) } }],
  }));
  writeFileSync(path.join(home, 'app.yaml'), manifest);
  writeFileSync(path.join(home, 'typo.yaml'), manifest.replace('replicas: 3', 'replicaz: 3'));
  const client = server.api.client({ name: 'test', groups: ['system:masters'] });
  const node = await client.create(nodes, { metadata: { name: 'n1' } });
  await client.update(nodes, { ...node, status: { capacity: { cpu: '4', memory: '4Gi' }, allocatable: { cpu: '4', memory: '4Gi' } } }, 'status');
});
afterAll(async () => {
  await server.stop();
  rmSync(home, { recursive: true, force: true });
});

describe.each([onPath, ...versions])('%s', (kubectl) => {
  const options = (): { env: Record<string, string>; timeoutMs: number } => ({ env: { HOME: home, KUBECONFIG: path.join(home, 'kubeconfig') }, timeoutMs: 30_000 });
  const run = (...args: string[]): Promise<string> => execOk(kubectl, args, options());
  const fail = async (...args: string[]): Promise<string> => {
    const result = await exec(kubectl, args, options());
    expect(result.exitCode).not.toBe(0);
    return result.stderr;
  };

  it('walks the everyday commands', async () => {
    const file = path.join(home, 'app.yaml');
    expect(await run('version')).toContain('+cleat.');
    expect(await run('apply', '-f', file)).toBe('deployment.apps/web created\nservice/web created\npod/p1 created\n');
    expect(await run('apply', '-f', file)).toBe('deployment.apps/web unchanged\nservice/web unchanged\npod/p1 unchanged\n');
    expect(await fail('apply', '-f', path.join(home, 'typo.yaml'))).toContain('unknown field "spec.replicaz"');
    expect(await run('get', 'deploy', 'web')).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/3 +0 +0 +\d+s\n$/);
    expect(await run('get', 'pods', '-l', 'x=1', '--show-labels')).toMatch(/p1 +0\/2 +Pending +0 +\d+s +x=1/);
    expect(await run('get', 'pods', '-A', '-o', 'name')).toBe('pod/p1\n');
    expect(await run('get', 'pods', '--field-selector', 'spec.nodeName=n1', '-o', 'jsonpath={.items[*].metadata.name}')).toBe('p1');
    expect(await run('describe', 'deployment', 'web')).toContain('Replicas:               3 desired');
    expect(await run('describe', 'pod', 'p1')).toContain('Node:             n1');
    expect(await run('describe', 'service', 'web')).toContain('IP Families:              IPv4');
    expect(await run('scale', 'deploy', 'web', '--replicas=5')).toBe('deployment.apps/web scaled\n');
    expect(await run('get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}')).toBe('5');
    expect(await run('set', 'image', 'deploy/web', 'c=busybox:2')).toBe('deployment.apps/web image updated\n');
    expect(await run('patch', 'deploy', 'web', '-p', '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"B","value":"2"}]}]}}}}')).toContain('patched');
    expect(await run('get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].env[*].name} {.spec.template.spec.containers[0].image}')).toBe('B A busybox:2');
    expect(await run('label', 'pod', 'p1', 'a=b')).toBe('pod/p1 labeled\n');
    expect(await run('annotate', 'pod', 'p1', 'a=b')).toMatch(/^pod\/p1 annotate/);
    expect(await run('rollout', 'history', 'deploy/web')).toContain('deployment.apps/web');
    expect(await run('logs', 'p1', '-c', 'd', '--tail=3')).toBe('one\nd tail=3\n');
    expect(await fail('logs', 'p1', '-c', 'nope')).toContain('container nope is not valid for pod p1');
    expect(await run('top', 'nodes')).toMatch(/n1 +250m +6% +512Mi +12%/);
    expect(await run('auth', 'can-i', 'create', 'pods')).toBe('yes\n');
    expect(await run('explain', 'deployment.spec.replicas')).toContain('replicas');
    expect(await run('api-resources', '--api-group=apps', '-o', 'name')).toBe('deployments.apps\nreplicasets.apps\n');
    expect(await run('diff', '-f', file).catch(() => 'differs')).toBe('differs');
    expect(await run('delete', 'pod', 'p1', '--force', '--grace-period=0')).toContain('pod "p1" force deleted');
    expect(await run('delete', '-f', file, '--ignore-not-found')).toContain('deployment.apps "web" deleted');
    expect(await fail('get', 'pod', 'p1')).toBe('Error from server (NotFound): pods "p1" not found\n');
  }, 60_000);

  it('creates by its generators', async () => {
    expect(await run('create', 'configmap', 'cm', '--from-literal=a=b')).toBe('configmap/cm created\n');
    expect(await run('create', 'secret', 'generic', 's', '--from-literal=p=q')).toBe('secret/s created\n');
    expect(await run('get', 'secret', 's', '-o', 'jsonpath={.data.p}')).toBe('cQ==');
    expect(await run('create', 'deployment', 'd', '--image=x', '--replicas=0')).toBe('deployment.apps/d created\n');
    expect(await run('get', 'deploy', 'd', '-o', 'jsonpath={.spec.replicas}')).toBe('0');
    expect(await run('expose', 'deployment', 'd', '--port=80')).toBe('service/d exposed\n');
    expect(await run('run', 'r', '--image=x', '--dry-run=server', '-o', 'name')).toBe('pod/r\n');
    expect(await run('delete', 'cm/cm', 'secret/s', 'deploy/d', 'svc/d')).toContain('configmap "cm" deleted');
  }, 60_000);
});
