import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import { OpenApiNames } from '#api/meta/openapi-names.ts';
import { definitionsFor } from '#api/meta/openapi.ts';
import { encodeSwagger } from '../protobuf/swagger.ts';
import { TestServer, type Answer } from '../test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });
const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> => server.ask(path, { headers });

/** What is read of gnostic's OpenAPIv2.proto. */
const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string yaml = 2; } message NamedAny { string name = 1; Any value = 2; }
  message TypeItem { repeated string value = 1; } message ItemsItem { repeated Schema schema = 1; } message NamedSchema { string name = 1; Schema value = 2; }
  message Properties { repeated NamedSchema additional_properties = 1; } message AdditionalPropertiesItem { oneof oneof { Schema schema = 1; bool boolean = 2; } }
  message Schema { string _ref = 1; string format = 2; string description = 4; repeated string required = 19; AdditionalPropertiesItem additional_properties = 21; TypeItem type = 22; ItemsItem items = 23; Properties properties = 25; repeated NamedAny vendor_extension = 31; }
  message Query { bool required = 1; string in = 2; string name = 4; string type = 6; } message NonBody { oneof oneof { Query query = 3; Query path = 4; } } message Body { string name = 2; string in = 3; Schema schema = 5; }
  message Parameter { oneof oneof { Body body = 1; NonBody non_body = 2; } } message ParametersItem { Parameter parameter = 1; }
  message Operation { repeated ParametersItem parameters = 8; repeated NamedAny vendor_extension = 13; } message PathItem { Operation get = 2; Operation patch = 8; } message NamedPathItem { string name = 1; PathItem value = 2; } message Paths { repeated NamedPathItem path = 2; }
  message Info { string title = 1; string version = 2; } message Document { string swagger = 1; Info info = 2; Paths paths = 8; Properties definitions = 9; }`, { keepCase: true });

interface Named<T> { name: string; value: T }
interface Document {
  swagger: string;
  paths: { path: Named<{ patch?: { parameters: { parameter: { non_body?: { query?: { name: string } } } }[]; vendor_extension: Named<{ yaml: string }>[] } }>[] };
  definitions: { additional_properties: Named<{ _ref?: string; required?: string[]; type?: { value: string[] }; properties?: { additional_properties: Named<{ _ref?: string; items?: { schema: { _ref?: string }[] }; vendor_extension?: Named<{ yaml: string }>[] }>[] }; vendor_extension: Named<{ yaml: string }>[] }>[] };
}

describe('OpenAPI', () => {
  it('comes by group with a hash in its address, once for each client', async () => {
    const index = (await get('/openapi/v3')).json<{ paths: Record<string, { serverRelativeURL: string }> }>().paths;
    expect(Object.keys(index)).toEqual(expect.arrayContaining(['api/v1', 'apis/apps/v1', 'apis/authorization.k8s.io/v1']));
    const url = index['apis/apps/v1']?.serverRelativeURL ?? '';
    const whole = await get(url);
    expect(whole.headers).toMatchObject({ 'cache-control': 'public, immutable', etag: `"${url.slice(url.indexOf('=') + 1)}"` });
    expect(whole.json()).toMatchObject({ openapi: '3.0.0', paths: { '/apis/apps/v1/namespaces/{namespace}/deployments/{name}': { patch: { 'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' } } } } });
    expect((await get('/openapi/v3/apis/apps/v1', { 'if-none-match': String(whole.headers['etag']) })).status).toBe(304);
    const moved = await get('/openapi/v3/apis/apps/v1?hash=OLD');
    expect([moved.status, moved.headers['location']]).toEqual([301, url]);
    expect((await get('/openapi/v3/apis/nothing/v1')).status).toBe(404);
    expect((await get('/openapi/v3/apis/apps/v1', { accept: 'text/html' })).status).toBe(406);
  });

  it('is small on the wire for who takes it so', async () => {
    const session = server.http2();
    const stream = session.request({ ':path': '/openapi/v2', 'accept-encoding': 'br;q=1, gzip;q=0.5' });
    const headers = new Promise<Record<string, unknown>>((resolve) => { stream.once('response', (received) => { resolve(received); }); });
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    session.destroy();
    expect(await headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
    const text = gunzipSync(Buffer.concat(chunks)).toString();
    expect(JSON.parse(text)).toMatchObject({ swagger: '2.0', definitions: { 'io.k8s.api.core.v1.Pod': { properties: { spec: { $ref: '#/definitions/io.k8s.api.core.v1.PodSpec' } } } } });
    expect(text.length).toBeGreaterThan(5 * Buffer.concat(chunks).length);
    expect((await get('/openapi/v2', { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding']).toBeUndefined();
  });

  it('in protobuf says what it says in JSON', async () => {
    const answer = await get('/openapi/v2', { accept: 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf' });
    expect(answer.headers['content-type']).toBe('application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
    const all = Object.values(kinds);
    const names = new OpenApiNames(all);
    const definitions = definitionsFor(all, 2, names);
    const patch = { parameters: [{ name: 'dryRun', in: 'query', type: 'string' }], responses: {}, 'x-kubernetes-group-version-kind': { group: '', version: 'v1', kind: 'Pod' } };
    const bytes = encodeSwagger({ swagger: '2.0', info: { title: 't', version: 'v' }, paths: { '/api/v1/pods': { patch } }, definitions });
    const document = root.lookupType('Document').toObject(root.lookupType('Document').decode(bytes)) as unknown as Document;
    expect(document.paths.path[0]?.value.patch).toMatchObject({ parameters: [{ parameter: { non_body: { query: { name: 'dryRun' } } } }], vendor_extension: [{ name: 'x-kubernetes-group-version-kind', value: { yaml: '{"group":"","version":"v1","kind":"Pod"}\n' } }] });
    const found = new Map(document.definitions.additional_properties.map(({ name, value }) => [name, value]));
    expect([...found.keys()].sort()).toEqual(Object.keys(definitions).sort());
    const spec = found.get('io.k8s.api.core.v1.PodSpec');
    expect(spec).toMatchObject({ type: { value: ['object'] }, required: ['containers'] });
    const containers = spec?.properties?.additional_properties.find(({ name }) => name === 'containers')?.value;
    expect(containers?.items?.schema[0]?._ref).toBe('#/definitions/io.k8s.api.core.v1.Container');
    expect(containers?.vendor_extension).toContainEqual({ name: 'x-kubernetes-patch-merge-key', value: { yaml: '"name"\n' } });
  });

  it('gives every definition one name, and every reference something to lead to', () => {
    const all = Object.values(kinds);
    for (const version of [2, 3] as const) {
      const definitions = definitionsFor(all, version);
      const references = new Set([...JSON.stringify(definitions).matchAll(/"\$ref":"#\/(?:components\/schemas|definitions)\/([^"]+)"/g)].map(([, name = '']) => name));
      expect([...references].filter((name) => !Object.hasOwn(definitions, name))).toEqual([]);
    }
    const names = new OpenApiNames(all);
    expect(['PodTemplateSpec', 'DeploymentSpec', 'LabelSelector', 'IngressRule', 'JSONSchemaProps', 'APIServiceSpec', 'DiscoveryEndpointPort'].map((name) => names.of(name))).toEqual([
      'io.k8s.api.core.v1.PodTemplateSpec', 'io.k8s.api.apps.v1.DeploymentSpec', 'io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector', 'io.k8s.api.networking.v1.IngressRule',
      'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps', 'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec', 'io.k8s.api.discovery.v1.EndpointPort',
    ]);
  });
});
