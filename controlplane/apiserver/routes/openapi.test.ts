import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
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

/** What is read of gnostic's OpenAPIv3.proto. */
const { root: root3 } = protobuf.parse(`syntax = "proto3";
  message Any { string yaml = 2; } message NamedAny { string name = 1; Any value = 2; } message Reference { string _ref = 1; } message Info { string title = 1; string version = 6; }
  message SchemaOrReference { oneof oneof { Schema schema = 1; Reference reference = 2; } } message NamedSchema { string name = 1; SchemaOrReference value = 2; } message Schemas { repeated NamedSchema additional_properties = 1; }
  message ItemsItem { repeated SchemaOrReference schema_or_reference = 1; } message AdditionalPropertiesItem { oneof oneof { SchemaOrReference schema_or_reference = 1; bool boolean = 2; } }
  message Schema { bool unique_items = 20; repeated string required = 23; string type = 25; repeated SchemaOrReference all_of = 26; repeated SchemaOrReference one_of = 27; ItemsItem items = 30; Schemas properties = 31; AdditionalPropertiesItem additional_properties = 32; string description = 34; string format = 35; repeated NamedAny specification_extension = 36; }
  message Parameter { string name = 1; string in = 2; bool required = 4; SchemaOrReference schema = 10; } message ParameterOrReference { Parameter parameter = 1; }
  message MediaType { SchemaOrReference schema = 1; } message NamedMediaType { string name = 1; MediaType value = 2; } message MediaTypes { repeated NamedMediaType additional_properties = 1; } message RequestBody { MediaTypes content = 2; } message RequestBodyOrReference { RequestBody request_body = 1; }
  message Operation { string operation_id = 5; repeated ParameterOrReference parameters = 6; RequestBodyOrReference request_body = 7; } message PathItem { Operation get = 4; Operation put = 5; Operation post = 6; Operation delete = 7; Operation patch = 10; }
  message NamedPathItem { string name = 1; PathItem value = 2; } message Paths { repeated NamedPathItem path = 1; } message Components { Schemas schemas = 1; }
  message Document { string openapi = 1; Info info = 2; Paths paths = 4; Components components = 5; }`, { keepCase: true });

interface SchemaOrReference {
  readonly reference?: { _ref: string };
  readonly schema?: {
    required?: string[]; type?: string; all_of?: SchemaOrReference[]; one_of?: SchemaOrReference[]; items?: { schema_or_reference: SchemaOrReference[] }; properties?: { additional_properties: Named<SchemaOrReference>[] };
    additional_properties?: { schema_or_reference?: SchemaOrReference; boolean?: boolean }; description?: string; format?: string; specification_extension?: Named<{ yaml: string }>[];
  };
}

/** As the JSON document has it. */
function schemaBack({ reference, schema = {} }: SchemaOrReference): Record<string, unknown> {
  if (reference) return { $ref: reference._ref };
  const { required, type, all_of, one_of, items, properties, additional_properties: more, description, format, specification_extension: extensions = [] } = schema;
  return {
    ...(required && { required }), ...(type && { type }), ...(all_of && { allOf: all_of.map(schemaBack) }), ...(one_of && { oneOf: one_of.map(schemaBack) }), ...(description && { description }), ...(format && { format }),
    ...(items && { items: schemaBack(items.schema_or_reference[0] ?? {}) }), ...(properties && { properties: Object.fromEntries(properties.additional_properties.map(({ name, value }) => [name, schemaBack(value)])) }),
    ...(more && { additionalProperties: more.schema_or_reference ? schemaBack(more.schema_or_reference) : more.boolean }), ...Object.fromEntries(extensions.map(({ name, value }) => [name, JSON.parse(value.yaml) as unknown])),
  };
}

/** An answer that is not text. */
async function bytesOf(path: string, accept: string): Promise<{ headers: Record<string, unknown>; body: Buffer }> {
  const session = server.http2();
  const stream = session.request({ ':path': path, accept });
  const headers = new Promise<Record<string, unknown>>((resolve) => { stream.once('response', (received) => { resolve(received); }); });
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  session.destroy();
  return { headers: await headers, body: Buffer.concat(chunks) };
}

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

  it('says what every object has, and leaves open what may have any field', async () => {
    const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', description: 'd', 'x-kubernetes-preserve-unknown-fields': true, properties: { spec: { type: 'object' } } } } }];
    const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const names = { plural: 'opens', kind: 'Open', singular: 'open', listKind: 'OpenList' };
    await server.ask(definitions, { method: 'POST', body: { metadata: { name: 'opens.a.example.com' }, spec: { group: 'a.example.com', scope: 'Namespaced', names, versions } } });
    const conditions = ['NamesAccepted', 'Established'].map((type) => ({ type, status: 'True' }));
    await server.ask(`${definitions}/opens.a.example.com/status`, { method: 'PATCH', body: { status: { acceptedNames: names, conditions } }, headers: { 'content-type': 'application/merge-patch+json' } });
    const group = [{ group: 'a.example.com', version: 'v1', kind: 'Open' }];
    const swagger = await vi.waitFor(async () => {
      const document = (await get('/openapi/v2')).json<{ definitions: Record<string, object> }>();
      expect(document.definitions['com.example.a.v1.Open']).toEqual({ type: 'object', 'x-kubernetes-group-version-kind': group });
      return document.definitions;
    }, { timeout: 20_000 });
    expect(swagger['io.k8s.api.core.v1.Pod']).toMatchObject({ properties: { apiVersion: { description: expect.stringContaining('APIVersion defines') as string }, metadata: { description: "Standard object's metadata." } } });
    const { components } = (await get('/openapi/v3/apis/a.example.com/v1')).json<{ components: { schemas: Record<string, { properties: object }> } }>();
    expect(components.schemas['com.example.a.v1.Open']).toMatchObject({ description: 'd', 'x-kubernetes-preserve-unknown-fields': true });
    expect(components.schemas['io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta']?.properties).toMatchObject({ creationTimestamp: { description: expect.stringContaining('CreationTimestamp is a timestamp') as string } });
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

  it('of one group version in protobuf says what it says in JSON, under the same hash', async () => {
    const [asJson, asProtobuf] = await Promise.all([get('/openapi/v3/apis/apps/v1'), bytesOf('/openapi/v3/apis/apps/v1', 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf')]);
    expect([asProtobuf.headers['content-type'], asProtobuf.headers['etag']]).toEqual(['application/com.github.proto-openapi.spec.v3.v1.0+protobuf', asJson.headers['etag']]);
    const wanted = asJson.json<{ paths: Record<string, Record<string, unknown>>; components: { schemas: Record<string, Record<string, unknown>> } }>();
    const type = root3.lookupType('Document');
    const document = type.toObject(type.decode(asProtobuf.body)) as { openapi: string; info: unknown; paths: { path: Named<Record<string, { operation_id?: string; parameters?: { parameter: { name: string; in: string; required?: boolean } }[]; request_body?: { request_body: { content: { additional_properties: Named<unknown>[] } } } }>>[] }; components: { schemas: { additional_properties: Named<SchemaOrReference>[] } } };
    expect(document).toMatchObject({ openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.34.0' } });
    expect(document.paths.path.map(({ name }) => name)).toEqual(Object.keys(wanted.paths));
    const patch = document.paths.path.find(({ name }) => name.endsWith('/deployments/{name}'))?.value['patch'];
    expect(patch?.parameters?.map(({ parameter }) => parameter.name)).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force']);
    expect(patch?.request_body?.request_body.content.additional_properties.map(({ name }) => name)).toContain('application/apply-patch+yaml');
    const back = Object.fromEntries(document.components.schemas.additional_properties.map(({ name, value }) => [name, schemaBack(value)]));
    expect(back).toEqual(wanted.components.schemas);
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
