import { describe, expect, it } from 'vitest';
import { parseFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { exposeFlags, serviceFor, type Exposed } from './expose.ts';
import { withOverrides } from './overrides.ts';
import { podFor, runFlags, serviceOf } from './run.ts';

/** Expected objects are those that kubectl prints for the same words with --dry-run=client -o yaml. */
const pod = (args: readonly string[], words: readonly string[] = []): Manifest => podFor('web', words, parseFlags('run', runFlags, args));

describe('run', () => {
  it.each<[string[], string[], object, object, object]>([
    [['--image=nginx'], [], { labels: { run: 'web' } }, {}, {}],
    [['--image=nginx', '--restart=Never'], ['sh', '-c', 'x'], { labels: { run: 'web' } }, { restartPolicy: 'Never' }, { args: ['sh', '-c', 'x'] }],
    [['--image=nginx', '--command', '--env=A=b=c', '--env', 'E=', '--port', '80', '--labels=a=b,c=d', '--annotations=n=1'], ['sh'], { labels: { a: 'b', c: 'd' }, annotations: { n: '1' } }, {},
      { command: ['sh'], env: [{ name: 'A', value: 'b=c' }, { name: 'E', value: '' }], ports: [{ containerPort: 80 }] }],
    [['--image=nginx', '-it', '--privileged', '--image-pull-policy=Never'], [], { labels: { run: 'web' } }, {}, { stdin: true, stdinOnce: true, tty: true, securityContext: { privileged: true }, imagePullPolicy: 'Never' }],
    [['--image=nginx', '-i', '--leave-stdin-open'], [], { labels: { run: 'web' } }, {}, { stdin: true }],
  ])('makes a pod of %j %j', (args, words, metadata, spec, container) => {
    expect(pod(args, words)).toEqual({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', ...metadata }, spec: { dnsPolicy: 'ClusterFirst', restartPolicy: 'Always', ...spec, containers: [{ name: 'web', image: 'nginx', ...container }] } });
  });

  it('makes a Service of --expose', () => {
    expect(serviceOf('web', parseFlags('run', runFlags, ['--port=80']))).toEqual({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }], selector: { run: 'web' } } });
  });

  it.each<[string[], RegExp]>([
    [[], /required flag\(s\) "image" not set/], [['--image=a b'], /Invalid image name "a b"/], [['--image=a', '--restart=x'], /invalid restart policy: x/], [['--image=a', '-t'], /-i\/--stdin is required/],
    [['--image=a', '--env=X'], /invalid env: X/], [['--image=a', '--labels=x'], /unexpected label spec: x/], [['--image=a', '--expose'], /--port must be set/], [['--image=a', '--image-pull-policy=x'], /invalid image pull policy: x/],
  ])('refuses %j', (args, words) => { expect(() => pod(args)).toThrow(words); });

  it.each<[string, string]>([
    ['merge', '{"spec":{"containers":null,"hostname":"x"}}'], ['json', '[{"op":"remove","path":"/spec/containers"},{"op":"add","path":"/spec/hostname","value":"x"}]'],
    ['strategic', '{"spec":{"containers":null,"hostname":"x"}}'],
  ])('puts overrides over it by %s', async (how, text) => {
    expect((await withOverrides('run', pod(['--image=a']), text, how))['spec']).toEqual({ dnsPolicy: 'ClusterFirst', restartPolicy: 'Always', hostname: 'x' });
  });

  it('refuses overrides that are none', async () => {
    await expect(withOverrides('run', pod(['--image=a']), '{', 'merge')).rejects.toThrow(/Invalid JSON Patch/);
    await expect(withOverrides('run', pod(['--image=a']), '{}', 'x')).rejects.toThrow(/invalid override type: x/);
  });
});

describe('expose', () => {
  const service = (kind: string, object: Partial<Exposed>, ...args: readonly string[]): Manifest => serviceFor(kind, { metadata: { name: 'd' }, ...object }, parseFlags('expose', exposeFlags, args));
  const deployment = { spec: { selector: { matchLabels: { a: 'b' } }, template: { spec: { containers: [{ ports: [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP' }] }] } } } };

  it('takes over ports, protocols, labels and the selector', () => {
    expect(service('Deployment', { ...deployment, metadata: { name: 'd', labels: { x: 'y' } } })).toEqual({
      apiVersion: 'v1', kind: 'Service', metadata: { name: 'd', labels: { x: 'y' } },
      spec: { selector: { a: 'b' }, ports: [{ name: 'port-1', port: 80, protocol: 'TCP', targetPort: 80 }, { name: 'port-2', port: 53, protocol: 'UDP', targetPort: 53 }] },
    });
    expect(service('Pod', { metadata: { name: 'p', labels: { run: 'p' } }, spec: { containers: [{ ports: [{ containerPort: 81 }] }] } })).toMatchObject({ metadata: { name: 'p', labels: { run: 'p' } }, spec: { selector: { run: 'p' }, ports: [{ port: 81, targetPort: 81 }] } });
    expect(service('Service', { spec: { selector: { a: 'b' }, ports: [{ port: 53, protocol: 'UDP' }] } })).toMatchObject({ spec: { selector: { a: 'b' }, ports: [{ port: 53, protocol: 'UDP', targetPort: 53 }] } });
  });

  it('does as flags say', () => {
    expect(service('Deployment', deployment, '--port=53,10', '--target-port=http', '--name=n', '--type=LoadBalancer', '--selector=c=d', '--labels=e=f', '--external-ip=1.2.3.4', '--load-balancer-ip=1.1.1.1', '--cluster-ip=None', '--session-affinity=ClientIP')).toEqual({
      apiVersion: 'v1', kind: 'Service', metadata: { name: 'n', labels: { e: 'f' } },
      spec: {
        type: 'LoadBalancer', selector: { c: 'd' }, externalIPs: ['1.2.3.4'], loadBalancerIP: '1.1.1.1', clusterIP: 'None', sessionAffinity: 'ClientIP',
        ports: [{ name: 'port-1', port: 53, protocol: 'UDP', targetPort: 'http' }, { name: 'port-2', port: 10, protocol: 'TCP', targetPort: 'http' }],
      },
    });
    expect(service('Deployment', deployment, '--port=8', '--target-port=9', '--protocol=sctp')).toMatchObject({ spec: { ports: [{ port: 8, protocol: 'SCTP', targetPort: 9 }] } });
  });

  it.each<[string, Partial<Exposed>, string[], RegExp]>([
    ['ConfigMap', {}, ['--port=1'], /cannot expose a ConfigMap/], ['Deployment', { spec: { selector: { matchLabels: { a: 'b' } } } }, [], /couldn't find port/], ['Deployment', deployment, ['--port=x'], /invalid port "x"/],
    ['Deployment', deployment, ['--port=70000'], /invalid port "70000"/], ['Pod', {}, ['--port=1'], /has no labels/], ['Service', {}, ['--port=1'], /couldn't retrieve selectors/],
    ['Deployment', { spec: { selector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } } }, ['--port=1'], /cannot select by expressions/],
  ])('refuses %s %j %j', (kind, object, args, words) => { expect(() => service(kind, object, ...args)).toThrow(words); });
});
