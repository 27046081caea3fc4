import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';

/** CustomResourceDefinitions and their objects by stock kubectl, the oldest and the newest on this machine, against a control plane alone. */
const versions = await kubectlVersions();
const chosen = [...new Set([versions[0], versions.at(-1)])].flatMap((version) => version ?? []);

let cluster: Cluster;
beforeAll(async () => { cluster = await Cluster.create({ agents: 0 }); });
afterAll(async () => { await cluster?.destroy(); });

const definition = (group: string, change: { readonly max?: number } = {}): string => `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.${group}}
spec:
  group: ${group}
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    selectableFields: [{jsonPath: .spec.image}]
    additionalPrinterColumns:
    - {name: Schedule, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Image, type: string, jsonPath: .spec.image, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A job that comes again
        properties:
          spec:
            type: object
            description: What is wanted
            required: [cronSpec]
            x-kubernetes-validations:
            - {rule: "self.replicas < 5 || self.cronSpec != 'often'", message: often is for few}
            properties:
              cronSpec: {type: string, description: When it runs, pattern: '^[a-z]+$', maxLength: 20}
              image: {type: string, maxLength: 50}
              replicas: {type: integer, minimum: 1, maximum: ${String(change.max ?? 10)}, default: 1}
              tasks:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, command: {type: string}}}
          status: {type: object, properties: {replicas: {type: integer}}}
  - name: v2
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`;

const tab = (group: string, name: string, spec: object): string => JSON.stringify({ apiVersion: `${group}/v1`, kind: 'CronTab', metadata: { name, labels: { tab: name } }, spec });

describe.each(chosen)('kubectl 1.$minor', (version) => {
  const group = `v${String(version.minor)}.example.com`;
  const resource = `crontabs.v1.${group}`;
  let k: Kubectl;
  beforeAll(async () => {
    k = new Kubectl(cluster, version, `custom-${String(version.minor)}`);
    await k.words(`create namespace ${k.namespace}`);
  });

  it('defines a kind, and finds it at once', async () => {
    expect(await k.words('apply -f -', definition(group))).toBe(`customresourcedefinition.apiextensions.k8s.io/crontabs.${group} created\n`);
    expect(await k.words(`wait --for=condition=Established crd/crontabs.${group} --timeout=10s`)).toContain('condition met');
    expect(await k.words(`api-resources --api-group=${group} --no-headers`)).toMatch(/crontabs +ct +v\d+\.example\.com\/v[12] +true +CronTab/);
    expect(await k.words(`get ${resource}`)).toBe('');
    expect(await k.words('apply -f -', definition(group))).toContain('unchanged');
  });

  it('explains it', async () => {
    const text = await k.words(`explain ${version.minor >= 29 ? `crontabs.spec --api-version=${group}/v1` : `crontabs.spec --api-version=${group}/v1`}`);
    expect(text).toContain('What is wanted');
    expect(text).toMatch(/cronSpec\s+<string>/);
  });

  it('makes, prints, changes and selects its objects', async () => {
    expect(await k.words('create -f -', tab(group, 'one', { cronSpec: 'daily', image: 'a' }))).toBe(`crontab.${group}/one created\n`);
    await k.words('apply -f -', tab(group, 'two', { cronSpec: 'often', image: 'b', replicas: 2 }));
    expect(await k.words(`get ${resource}`)).toMatch(/^NAME +SCHEDULE +REPLICAS +AGE\none +daily +1 +\d+s\ntwo +often +2 +\d+s\n$/);
    expect(await k.words(`get ${resource} -o wide`)).toMatch(/^NAME +SCHEDULE +REPLICAS +IMAGE +AGE\n/);
    expect(await k.words(`get ${resource} --field-selector spec.image=b -o name`)).toBe(`crontab.${group}/two\n`);
    expect(await k.words(`get ${resource} -l tab=one -o name`)).toBe(`crontab.${group}/one\n`);
    expect(await k.words(`get crontabs.v2.${group} one -o jsonpath={.apiVersion}{.spec.replicas}`)).toBe(`${group}/v21`);
    expect(await k.words(`patch ${resource} one --type=merge -p {"spec":{"replicas":3}}`)).toContain('patched');
    expect(await k.words(`patch ${resource} one --type=json -p [{"op":"replace","path":"/spec/image","value":"c"}]`)).toContain('patched');
    expect(await k.words(`get ${resource} one -o jsonpath={.spec.replicas}{.spec.image}{.metadata.generation}`)).toBe('3c3');
    expect(await k.words(`scale ${resource} one --replicas=4`)).toContain('scaled');
    expect(await k.words('apply -f -', tab(group, 'two', { cronSpec: 'often' }))).toContain('configured');
    expect(await k.words(`get ${resource} two -o jsonpath={.spec}`)).toBe('{"cronSpec":"often","replicas":1}');
  });

  it('refuses what the schema and its rules refuse', async () => {
    expect(await k.fails('create -f -', tab(group, 'bad', { cronSpec: 'DAILY', replicas: 99 }))).toMatch(/spec\.replicas: Invalid value: 99: spec\.replicas in body should be less than or equal to 10/);
    expect(await k.fails('create --validate=false -f -', tab(group, 'bad', { replicas: 2 }))).toContain('spec.cronSpec: Required value');
    expect(await k.fails('create -f -', tab(group, 'bad', { cronSpec: 'often', replicas: 7 }))).toContain('spec: Invalid value: "object": often is for few');
    expect(await k.fails('create -f -', tab(group, 'bad', { cronSpec: 'daily', bogus: 1 }))).toMatch(/unknown field "(spec\.)?bogus"/);
    expect(await k.fails(`patch ${resource} one --type=strategic -p {"spec":{"replicas":3}}`)).toMatch(/strategic merge patch|UnsupportedMediaType|unknown format/i);
    expect(await k.fails('apply -f -', definition(group).replace('scope: Namespaced', 'scope: Cluster'))).toContain('spec.scope: Invalid value: "Cluster": field is immutable');
  });

  it('tries without doing, and applies on the server', async () => {
    expect(await k.words('create --dry-run=server -f -', tab(group, 'dry', { cronSpec: 'daily' }))).toContain('created (server dry run)');
    expect(await k.words(`get ${resource} dry --ignore-not-found`)).toBe('');
    const tasks = (...names: string[]): object => ({ cronSpec: 'daily', tasks: names.map((name) => ({ name, command: name })) });
    expect(await k.words('apply --server-side -f -', tab(group, 'owned', tasks('a')))).toContain('serverside-applied');
    expect(await k.words('apply --server-side --field-manager=other -f -', tab(group, 'owned', tasks('b')))).toContain('serverside-applied');
    expect(await k.words(`get ${resource} owned -o jsonpath={.spec.tasks[*].name}`)).toBe('a b');
    expect(await k.fails('apply --server-side --field-manager=other -f -', tab(group, 'owned', { cronSpec: 'weekly' }))).toContain('Apply failed with 1 conflict: conflict with "kubectl": .spec.cronSpec');
    await k.words('apply --server-side -f -', tab(group, 'owned', { cronSpec: 'daily' }));
    expect(await k.words(`get ${resource} owned -o jsonpath={.spec.tasks[*].name}`)).toBe('b');
  });

  it('takes a changed definition at once, and keeps everything over a crash', async () => {
    expect(await k.words('apply -f -', definition(group, { max: 20 }))).toContain('configured');
    await k.until(`patch ${resource} one --type=merge -p {"spec":{"replicas":15}}`, /patched/);
    await cluster.stopControlPlane('SIGKILL');
    await cluster.startControlPlane();
    expect(await k.words(`get ${resource} one -o jsonpath={.spec.replicas}`)).toBe('15');
    expect(await k.fails(`patch ${resource} one --type=merge -p {"spec":{"replicas":25}}`)).toContain('less than or equal to 20');
  });

  it('collects what its objects own, empties namespaces, and goes with all of them', async () => {
    const owner = JSON.parse(await k.words(`get ${resource} two -o json`)) as { metadata: { uid: string } };
    const owned = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned', ownerReferences: [{ apiVersion: `${group}/v1`, kind: 'CronTab', name: 'two', uid: owner.metadata.uid }] } };
    await k.words('create -f -', JSON.stringify(owned));
    await k.words(`delete ${resource} two`);
    await k.until('get configmap owned --ignore-not-found', '');
    await k.words(`delete namespace ${k.namespace} --timeout=30s`);
    expect(await k.words(`get ${resource} -A`)).toBe('');
    await k.words(`create namespace ${k.namespace}`);
    await k.words('create -f -', tab(group, 'last', { cronSpec: 'daily' }));
    expect(await k.words(`delete crd crontabs.${group} --timeout=30s`)).toContain('deleted');
    expect(await k.fails(`get ${resource}`)).toMatch(/the server doesn't have a resource type|could not find the requested resource/);
  });
});
