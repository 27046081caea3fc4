import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer, type Answer } from '../test-server.ts';

/** Unknown and duplicate fields, in the words and the order of Kubernetes' own test of `fieldValidation`. */
let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const deployments = '/apis/apps/v1/namespaces/default/deployments';
const json = (name: string): string => `
{ "apiVersion": "apps/v1", "kind": "Deployment",
  "metadata": { "name": "dupename", "name": "${name}", "labels": {"app": "nginx"}, "unknownMeta": "metaVal" },
  "spec": { "unknown1": "val1", "unknownDupe": "valDupe", "unknownDupe": "valDupe2", "paused": true, "paused": false,
    "selector": { "matchLabels": { "app": "nginx" } },
    "template": { "metadata": { "labels": { "app": "nginx" } },
      "spec": { "containers": [{ "name": "nginx", "image": "nginx:latest", "unknownNested": "val1", "imagePullPolicy": "Always", "imagePullPolicy": "Never" }] } } } }`;
const yaml = (name: string): string => `apiVersion: apps/v1
kind: Deployment
metadata:
  name: dupename
  name: ${name}
  unknownMeta: metaVal
spec:
  unknown1: val1
  paused: true
  paused: false
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - name: nginx
        image: nginx:latest
        unknownNested: val1
        imagePullPolicy: Always
        imagePullPolicy: Never
`;
const ask = (method: string, path: string, body: string, type = 'application/json'): Promise<Answer> => server.ask(path, { method, body, headers: { 'content-type': type } });
const warnings = ({ headers }: Answer): string[] => [...String(headers['warning'] ?? '').matchAll(/299 - "((?:\\.|[^"\\])*)"/g)].map(([, text = '']) => text.replaceAll(/\\(.)/g, '$1'));

const inJson = ['duplicate field "metadata.name"', 'unknown field "metadata.unknownMeta"', 'unknown field "spec.unknown1"', 'unknown field "spec.unknownDupe"', 'duplicate field "spec.paused"',
  'unknown field "spec.template.spec.containers[0].unknownNested"', 'duplicate field "spec.template.spec.containers[0].imagePullPolicy"'];
const unknownInYaml = ['unknown field "metadata.unknownMeta"', 'unknown field "spec.template.spec.containers[0].unknownNested"', 'unknown field "spec.unknown1"'];
const lines = ['line 5: key "name" already set in map', 'line 10: key "paused" already set in map', 'line 20: key "imagePullPolicy" already set in map'];

describe('fields of an object', () => {
  it('in JSON are told of in the order of the text', async () => {
    const strict = await ask('POST', `${deployments}?fieldValidation=Strict`, json('strict'));
    expect(strict.json()).toMatchObject({ code: 400, message: `Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: ${inJson.join(', ')}` });
    expect(warnings(await ask('POST', deployments, json('warned')))).toEqual(inJson);
    expect(warnings(await ask('PUT', `${deployments}/warned?fieldValidation=Warn`, json('warned')))).toEqual(inJson);
    const ignored = await ask('POST', `${deployments}?fieldValidation=Ignore`, json('ignored'));
    expect([ignored.status, warnings(ignored)]).toEqual([201, []]);
  });

  it('in YAML are told of by line, then by name', async () => {
    const strict = await ask('POST', `${deployments}?fieldValidation=Strict`, yaml('strict'), 'application/yaml');
    expect(strict.json()).toMatchObject({ code: 400, message: `Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: yaml: unmarshal errors:\n  ${lines.join('\n  ')}, ${unknownInYaml.join(', ')}` });
    const warned = await ask('POST', deployments, yaml('yaml'), 'application/yaml');
    expect([warned.status, warnings(warned)]).toEqual([201, [...lines, ...unknownInYaml]]);
    expect(warned.json()).toMatchObject({ metadata: { name: 'yaml' }, spec: { template: { spec: { containers: [{ imagePullPolicy: 'Never' }] } } } });
    expect(warnings(await ask('POST', `${deployments}?fieldValidation=Ignore`, yaml('yaml-ignored'), 'application/yaml'))).toEqual([]);
  });
});

describe('fields of a patch', () => {
  const merge = `{ "spec": { "unknown1": "val1", "unknownDupe": "valDupe", "unknownDupe": "valDupe2", "paused": true, "paused": false,
    "template": { "spec": { "containers": [{ "name": "nginx", "image": "nginx:latest", "unknownNested": "val1", "imagePullPolicy": "Always", "imagePullPolicy": "Never" }] } } } }`;
  const inMerge = ['duplicate field "spec.unknownDupe"', 'duplicate field "spec.paused"', 'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    'unknown field "spec.template.spec.containers[0].unknownNested"', 'unknown field "spec.unknown1"', 'unknown field "spec.unknownDupe"'];
  const operations = `[ {"op": "add", "path": "/spec/unknown1", "value": "val1", "foo":"bar"}, {"op": "add", "path": "/spec/unknown2", "path": "/spec/unknown3", "value": "val1"},
    {"op": "add", "path": "/spec/paused", "value": true}, {"op": "add", "path": "/spec/template/spec/containers/0/unknownNested", "value": "val1"} ]`;
  const inOperations = ['json patch unknown field "[0].foo"', 'json patch duplicate field "[1].path"', 'unknown field "spec.template.spec.containers[0].unknownNested"', 'unknown field "spec.unknown1"', 'unknown field "spec.unknown3"'];
  beforeAll(async () => { await ask('POST', `${deployments}?fieldValidation=Ignore`, json('patched')); });

  it.each([
    ['merge-patch', merge, inMerge], ['strategic-merge-patch', merge, inMerge], ['json-patch', operations, inOperations],
  ])('%s are told of as the patch has them, then as its result has', async (kind, body, problems) => {
    const strict = await ask('PATCH', `${deployments}/patched?fieldValidation=Strict`, body, `application/${kind}+json`);
    expect(strict.json()).toMatchObject({ code: 422, reason: 'Invalid', message: expect.stringMatching(/^ "" is invalid: patch: Invalid value: /) as string, details: { causes: [{ field: 'patch' }] } });
    expect(strict.json<{ message: string }>().message.endsWith(`strict decoding error: ${problems.join(', ')}`)).toBe(true);
    expect(warnings(await ask('PATCH', `${deployments}/patched`, body, `application/${kind}+json`))).toEqual(problems);
    expect(warnings(await ask('PATCH', `${deployments}/patched?fieldValidation=Ignore`, body, `application/${kind}+json`))).toEqual([]);
  });

  it('that do not fit the object are the patch\'s fault', async () => {
    expect((await ask('PATCH', `${deployments}/patched`, '{"spec":{"replicas":"many"}}', 'application/merge-patch+json')).json()).toMatchObject({ code: 422, message: expect.stringContaining('spec.replicas') as string });
  });

  it('that are applied are told of by line, and may not be unknown', async () => {
    const body = yaml('applied').replaceAll(/ *unknown.*\n/g, '');
    const inBody = ['line 5: key "name" already set in map', 'line 8: key "paused" already set in map', 'line 17: key "imagePullPolicy" already set in map'];
    const apply = (query: string, text: string): Promise<Answer> => ask('PATCH', `${deployments}/applied?fieldManager=me&${query}`, text, 'application/apply-patch+yaml');
    expect((await apply('fieldValidation=Strict', body)).json()).toMatchObject({ code: 400, message: `error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  ${inBody.join('\n  ')}` });
    const warned = await apply('', body);
    expect([warned.status, warnings(warned)]).toEqual([201, inBody]);
    const map = await ask('PATCH', '/api/v1/namespaces/default/configmaps/applied?fieldManager=me', '{"apiVersion":"v1","kind":"ConfigMap",\n"kind":"ConfigMap","metadata":{"name":"applied"}}', 'application/apply-patch+yaml');
    expect(warnings(map)).toEqual(['line 2: key "kind" already set in map']);
    expect((await apply('fieldValidation=Ignore', yaml('applied'))).json()).toMatchObject({ code: 400, message: expect.stringContaining('failed to create typed patch object (default/applied; apps/v1, Kind=Deployment): errors:\n  .metadata.unknownMeta: field not declared in schema') as string });
  });
});
