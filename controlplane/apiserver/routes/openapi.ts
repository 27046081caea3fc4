import { createHash } from 'node:crypto';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { definitionsFor } from '#api/meta/openapi.ts';
import type { Schema } from '#api/meta/schema.ts';
import { noSuchPath } from '../api-errors.ts';
import { isJson, mediaRanges, notAcceptable } from '../http/accept.ts';
import { bytes, json, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { GroupVersion, KindIndex } from '../kind-index.ts';

interface Operation {
  readonly 'x-kubernetes-action': string;
  readonly 'x-kubernetes-group-version-kind': { readonly group: string; readonly version: string; readonly kind: string };
  readonly parameters?: readonly unknown[];
  readonly responses: unknown;
}

const swaggerProtobuf = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

/**
 * Asked for with an `@`, which no media type may have; answered without.
 * kubectl before 1.29 insists on Swagger in protobuf before it applies, though it then patches by its own
 * types and validates by OpenAPI v3. It gets the version and the title, and no definitions.
 */
const emptySwagger = Buffer.concat([Buffer.from([0x0a, 3]), Buffer.from('2.0'), Buffer.from([0x12, 11, 0x0a, 5]), Buffer.from('Cleat'), Buffer.from([0x12, 2]), Buffer.from('v1')]);

/**
 * OpenAPI documents, made when asked for and not kept: clients cache them by the hash in their address.
 * kubectl looks in them for schemas (`explain`, `apply`) and for the `fieldValidation` parameter.
 */
export class OpenApi {
  readonly #kinds: KindIndex;
  readonly #hashes = new Map<string, string>();
  #edition = -1;

  constructor(kinds: KindIndex) {
    this.#kinds = kinds;
  }

  /** Undefined when the path is not one of OpenAPI's. */
  serve(request: ApiRequest): Reply | undefined {
    const [root, version, ...rest] = request.segments;
    if (root !== 'openapi') return undefined;
    if (version === 'v2' && rest.length === 0) {
      const ranges = mediaRanges(request.headers.accept);
      if (ranges.some(isJson)) return json(this.#swagger());
      if (ranges.some(({ type }) => type === swaggerProtobuf)) return { ...bytes(emptySwagger), contentType: swaggerProtobuf.replace('@', '.') };
      throw notAcceptable();
    }
    if (version !== 'v3') throw noSuchPath();
    if (rest.length === 0) return json({ paths: Object.fromEntries(this.#kinds.groupVersions().map((gv) => [root3(gv), { serverRelativeURL: `/openapi/v3/${root3(gv)}?hash=${this.#hash(gv)}` }])) });
    const found = this.#kinds.groupVersions().find((gv) => root3(gv) === rest.join('/'));
    if (!found) throw noSuchPath();
    const etag = `"${this.#hash(found)}"`;
    if (request.headers['if-none-match'] === etag) return { status: 304, contentType: 'application/json', body: '', headers: { ETag: etag } };
    return { ...bytes(Buffer.from(this.#document(found))), headers: { ETag: etag } };
  }

  #hash(gv: GroupVersion): string {
    const key = root3(gv);
    if (this.#edition !== this.#kinds.edition) {
      this.#hashes.clear();
      this.#edition = this.#kinds.edition;
    }
    let hash = this.#hashes.get(key);
    if (hash === undefined) this.#hashes.set(key, hash = createHash('sha256').update(this.#document(gv)).digest('hex').slice(0, 32).toUpperCase());
    return hash;
  }

  #document(gv: GroupVersion): string {
    return JSON.stringify({
      openapi: '3.0.0', info: { title: 'Cleat', version: 'v1' },
      paths: pathsOf(gv.kinds), components: { schemas: definitionsFor(gv.kinds) },
    });
  }

  /** Swagger 2.0: the same schemas under `definitions`. */
  #swagger(): unknown {
    const definitions = definitionsFor(this.#kinds.all);
    return { swagger: '2.0', info: { title: 'Cleat', version: 'v1' }, paths: pathsOf(this.#kinds.all), definitions: JSON.parse(JSON.stringify(definitions).replaceAll('#/components/schemas/', '#/definitions/')) as Record<string, Schema> };
  }
}

function root3({ group, version }: Pick<GroupVersion, 'group' | 'version'>): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

function pathsOf(kinds: readonly KindDefinition[]): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const { resource, status } of kinds) {
    const base = `/${resource.group === '' ? 'api' : 'apis'}/${apiVersionOf(resource)}/${resource.namespaced ? 'namespaces/{namespace}/' : ''}${resource.plural}`;
    const operation = (action: string): Operation => ({
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': { group: resource.group, version: resource.version, kind: resource.kind },
      ...(['post', 'put', 'patch'].includes(action) && { parameters: writeParameters }),
      responses: { 200: { description: 'OK' } },
    });
    const one = { get: operation('get'), put: operation('put'), patch: operation('patch'), delete: operation('delete') };
    paths[base] = { get: operation('list'), post: operation('post'), delete: operation('deletecollection') };
    paths[`${base}/{name}`] = one;
    if (status) paths[`${base}/{name}/status`] = { get: one.get, put: one.put, patch: one.patch };
  }
  return paths;
}

const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } }));
