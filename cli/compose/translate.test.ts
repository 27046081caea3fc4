import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { StatusError } from '#common/errors.ts';
import { interpolate, parseEnvFile } from './interpolate.ts';
import { hostFiles, loadProject } from './load.ts';
import { translate } from './translate.ts';
import type { Files, Raw, Translation } from './types.ts';
import { bytesOf, wordsOf } from './values.ts';

const texts: Readonly<Record<string, string>> = { '/shop/pw.txt': 'secret', '/shop/web.env': 'A=1\nexport B="x\\ny" # why\n# C=3\n', '/shop/site.conf': 'listen 80' };
const files: Files = {
  env: { SHELL_KEY: 'from the shell' }, isFile: (path) => path in texts,
  text(path) {
    const text = texts[path];
    if (text === undefined) throw new StatusError('BadRequest', `cannot read ${path}`);
    return text;
  },
};
const translated = (yaml: string, profiles: readonly string[] = []): Translation => translate({ name: 'shop', folder: '/shop', file: parse(yaml, { merge: true }) as Raw }, files, { volumeSize: '2Gi', profiles });
const one = (yaml: string, kind: string, name?: string): Raw | undefined => translated(yaml).objects.find((object) => object.kind === kind && (name === undefined || object.metadata.name === name));
/** The pod of the one service `web`, said in YAML of one line. */
const podOf = (service: string, rest = ''): { readonly containers: readonly Raw[] } & Raw => (one(`services: {web: {image: x, ${service}}}\n${rest}`, 'Deployment') as { spec: { template: { spec: { containers: Raw[] } } } }).spec.template.spec;
const notesOf = (yaml: string): string[] => translated(yaml).notes.map(({ where }) => where);

it('makes a Deployment, and a Service by which others find it on any port', () => {
  const { objects, notes } = translated('services: {web: {image: nginx}}');
  expect(objects.map(({ kind, metadata }) => `${kind}/${metadata.name ?? ''}`)).toEqual(['Service/web', 'Deployment/web']);
  expect(objects[0]).toMatchObject({ spec: { clusterIP: 'None', selector: { 'app.kubernetes.io/name': 'web', 'app.kubernetes.io/part-of': 'shop' } } });
  expect(objects[1]).toMatchObject({ spec: { replicas: 1, template: { spec: { enableServiceLinks: false, containers: [{ name: 'web', image: 'nginx' }] } } } });
  expect(notes).toEqual([]);
});

it('makes things after what they depend on, and says that nothing waits', () => {
  const yaml = 'services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: {c: {condition: service_healthy}}}, c: {image: x}}';
  expect(translated(yaml).objects.filter(({ kind }) => kind === 'Deployment').map(({ metadata }) => metadata.name)).toEqual(['c', 'b', 'a']);
  expect(notesOf(yaml)).toEqual(['services.b.depends_on', 'services.a.depends_on']);
  expect(() => translated('services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}')).toThrow('no beginning');
});

describe('translates', () => {
  it.each<[string, string, Raw]>([
    ['command and entrypoint', `entrypoint: /bin/sh -c, command: ["echo $(date)"]`, { command: ['/bin/sh', '-c'], args: ['echo $$(date)'] }],
    ['an entrypoint that is taken away', 'entrypoint: [], command: [httpd, -f]', { command: ['httpd', '-f'] }],
    ['environment as a list', 'environment: [A=1=2, SHELL_KEY]', { env: [{ name: 'A', value: '1=2' }, { name: 'SHELL_KEY', value: 'from the shell' }] }],
    ['environment as a map', 'environment: {A: true, B: 2}', { env: [{ name: 'A', value: 'true' }, { name: 'B', value: '2' }] }],
    ['resources', 'deploy: {resources: {limits: {cpus: "0.25", memory: 1g}, reservations: {memory: 100}}}', { resources: { limits: { cpu: '250m', memory: '1Gi' }, requests: { memory: '100' } } }],
    ['who it runs as', 'user: "1000:100", read_only: true, cap_drop: [ALL], cap_add: [CAP_NET_ADMIN], privileged: false', { securityContext: { runAsUser: 1000, runAsGroup: 100, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } } }],
    ['a healthcheck', 'healthcheck: {test: [CMD, curl, localhost], interval: 1m30s, retries: 2, start_period: 20s}', {
      readinessProbe: { exec: { command: ['curl', 'localhost'] }, periodSeconds: 90, timeoutSeconds: 30, failureThreshold: 2 }, startupProbe: { exec: { command: ['curl', 'localhost'] }, periodSeconds: 5, timeoutSeconds: 30, failureThreshold: 6 },
    }],
    ['where it works', 'working_dir: /srv, tty: true, stdin_open: true, pull_policy: always', { workingDir: '/srv', tty: true, stdin: true, imagePullPolicy: 'Always' }],
  ])('%s', (_, service, container) => { expect(podOf(service).containers[0]).toMatchObject(container); });

  it('volumes of each kind', () => {
    const rest = 'volumes: {data: {}, shared: {external: true}}';
    const yaml = `services: {web: {image: x, volumes: [data:/data, ./site.conf:/etc/site.conf:ro, /cache, shared:/shared, {type: tmpfs, target: /t, tmpfs: {size: 64m}}], tmpfs: /run}}\n${rest}`;
    const deployment = one(yaml, 'Deployment') as { spec: { strategy: Raw; template: { spec: { volumes: Raw[]; containers: [{ volumeMounts: Raw[] }] } } } };
    expect(deployment.spec.strategy).toEqual({ type: 'Recreate' });
    expect(deployment.spec.template.spec.volumes).toEqual([
      { name: 'data', persistentVolumeClaim: { claimName: 'shop-data' } }, { name: 'host-site-conf', hostPath: { path: '/shop/site.conf', type: 'File' } }, { name: 'scratch', emptyDir: {} },
      { name: 'shared', persistentVolumeClaim: { claimName: 'shared' } }, { name: 'tmpfs', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } }, { name: 'tmpfs-2', emptyDir: { medium: 'Memory' } },
    ]);
    expect(deployment.spec.template.spec.containers[0].volumeMounts[1]).toEqual({ name: 'host-site-conf', mountPath: '/etc/site.conf', readOnly: true });
    expect(translated(yaml).objects.filter(({ kind }) => kind === 'PersistentVolumeClaim').map(({ metadata, spec }) => [metadata.name, spec])).toEqual([['shop-data', { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } }]]);
    expect(notesOf(yaml)).toEqual(['services.web.volumes[1]']);
  });

  it('secrets, configs and env files, whose changes start pods anew', () => {
    const yaml = 'services: {web: {image: x, secrets: [pw], configs: [{source: site, target: /etc/site.conf, mode: "0440"}], env_file: web.env}}\nsecrets: {pw: {file: pw.txt}}\nconfigs: {site: {file: ./site.conf}}';
    expect(one(yaml, 'Secret', 'shop-pw')).toMatchObject({ data: { pw: Buffer.from('secret').toString('base64') } });
    expect(one(yaml, 'Secret', 'web-env')).toMatchObject({ data: { A: 'MQ==', B: Buffer.from('x\ny').toString('base64') } });
    expect(one(yaml, 'ConfigMap')).toMatchObject({ metadata: { name: 'shop-site' }, data: { site: 'listen 80' } });
    const { template } = (one(yaml, 'Deployment') as { spec: { template: { metadata: { annotations: Record<string, string> }; spec: { volumes: Raw[]; containers: Raw[] } } } }).spec;
    expect(template.metadata.annotations['cleat.dev/compose-content']).toMatch(/^[0-9a-f]{16}$/);
    expect(template.spec.containers[0]).toMatchObject({ envFrom: [{ secretRef: { name: 'web-env' } }], volumeMounts: [{ mountPath: '/run/secrets/pw', subPath: 'pw' }, { mountPath: '/etc/site.conf', subPath: 'site' }] });
    expect(template.spec.volumes[1]).toMatchObject({ configMap: { items: [{ key: 'site', path: 'site', mode: 0o440 }] } });
  });

  it('ports to a Service of their own', () => {
    const yaml = 'services: {web: {image: x, ports: ["8080:80", "53:53/udp", "7000-7001:8000-8001", {target: 443, published: "8443"}, "127.0.0.1:1:1", "9"]}}';
    expect((one(yaml, 'Service', 'web-published') as { spec: { type: string; ports: { port: number; targetPort: number; protocol: string }[] } }).spec.ports.map(({ port, targetPort, protocol }) => [port, targetPort, protocol]))
      .toEqual([[8080, 80, 'TCP'], [53, 53, 'UDP'], [7000, 8000, 'TCP'], [7001, 8001, 'TCP'], [8443, 443, 'TCP']]);
    expect(notesOf(yaml)).toEqual(['services.web.ports[4]', 'services.web.ports[5]']);
  });

  it('where and how often', () => {
    expect(one('services: {web: {image: x, deploy: {mode: global}}}', 'DaemonSet')).toMatchObject({ spec: { selector: {} } });
    expect(one('services: {web: {image: x, deploy: {replicas: 3}}}', 'Deployment')).toMatchObject({ spec: { replicas: 3 } });
    expect(podOf('deploy: {placement: {constraints: ["node.hostname == pi-1", "node.labels.disk==ssd"]}}, platform: linux/arm64')).toMatchObject({ nodeSelector: { 'kubernetes.io/hostname': 'pi-1', disk: 'ssd', 'kubernetes.io/arch': 'arm64' } });
  });
});

it('says what it does not honour', () => {
  expect(notesOf('services: {web: {image: x, build: ., networks: [a], restart: "no", ulimits: {nofile: 1}, user: www, deploy: {update_config: {}}, x-own: 1}}\nnetworks: {a: {}}')).toEqual(expect.arrayContaining([
    'networks', 'services.web.build', 'services.web.networks', 'services.web.restart', 'services.web.ulimits', 'services.web.user', 'services.web.deploy.update_config']) as string[]);
  expect(notesOf('services: {web: {image: x, restart: always, expose: [80]}, dev: {image: x, profiles: [dev]}}')).toEqual(['services.dev']);
});

it.each<[yaml: string, message: RegExp]>([
  ['services: {web: {build: .}}', /services\.web\.build: Cleat builds no images\..*cleat image load/],
  ['services: {web: {}}', /neither image nor build/], ['services: {web: 3}', /services\.web: expected a map/], ['services: {web: {image: x, ports: ["x:y"]}}', /ports\[0\]/],
  ['services: {web: {image: x, ports: ["1-3:1-2"]}}', /not as many/], ['services: {web: {image: x, volumes: [data:/x]}}', /no "data"/], ['services: {web: {image: x, volumes: ["./a:/x", "./b:/x"]}}', /mounted twice/],
  ['services: {web: {image: x, secrets: [pw]}}', /no "pw"/], ['services: {a_b: {image: x}, a.b: {image: x}}', /both be called a-b/], ['services: {web: {image: x, depends_on: [db]}}', /no service "db"/],
  ['services: {web: {image: x, mem_limit: lots}}', /512m/], ['services: {web: {image: x}}\ninclude: [x.yml]', /include/], ['services: {web: {image: x, env_file: none.env}}', /none\.env/],
])('refuses %s', (yaml, message) => { expect(() => translated(yaml)).toThrow(message); });

it('puts variables in as Compose does', () => {
  const variables = (name: string): string | undefined => ({ A: 'a', EMPTY: '' })[name];
  expect(interpolate(['$A-${A}', '${X:-d}', '${EMPTY-d}|${EMPTY:-d}', '${X:-${A}}', '$$A', '${A:+y}${X:+n}'], variables)).toEqual(['a-a', 'd', '|d', 'a', '$A', 'y']);
  expect(() => interpolate({ a: ['${X:?say it}'] }, variables)).toThrow('a[0]: the variable X must be set: say it');
  for (const text of ['${A', '$(A)', '${A!}']) expect(() => interpolate(text, variables)).toThrow();
  expect([...parseEnvFile("A='x # y'\nB=1 # c\nC=\n")]).toEqual([['A', 'x # y'], ['B', '1'], ['C', '']]);
});

it('reads words and amounts', () => {
  expect(wordsOf(`a 'b c' "d \\"e" f\\ g ''`, 'x')).toEqual(['a', 'b c', 'd "e', 'f g', '']);
  expect(() => wordsOf("a 'b", 'x')).toThrow('not closed');
  expect(['512', '64k', '1.5g', '2GB'].map((text) => bytesOf(text, 'x'))).toEqual(['512', '64Ki', '1536Mi', '2Gi']);
});

describe('a file', () => {
  const folders: string[] = [];
  afterEach(async () => { for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true }); });
  it('gets its name and its variables from where it lies', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'compose-'));
    folders.push(folder);
    await writeFile(join(folder, '.env'), 'TAG=1.27\n');
    await writeFile(join(folder, 'compose.yml'), 'services: {web: {image: "nginx:$TAG"}}');
    const load = (name?: string): ReturnType<typeof loadProject> => loadProject(join(folder, 'compose.yml'), name, hostFiles({}));
    expect(load('My Shop')).toMatchObject({ name: 'my-shop', folder, file: { services: { web: { image: 'nginx:1.27' } } } });
    expect(load().name).toMatch(/^compose-/);
    await writeFile(join(folder, 'compose.yml'), 'services: [');
    expect(() => load()).toThrow('cannot be understood');
    await writeFile(join(folder, 'compose.yml'), 'apiVersion: v1');
    expect(() => load()).toThrow('is no compose file');
  });
});
