import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { OpenApiNames } from '#api/meta/openapi-names.ts';
import { definitionsFor } from '#api/meta/openapi.ts';
import { noSuchPath } from '../api-errors.ts';
import { isJson, mediaRanges, notAcceptable } from '../http/accept.ts';
import { compressed, hashOf, hasTag, tagged } from '../http/compress.ts';
import { jsonType, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { Aggregated } from '../aggregation/aggregated.ts';
import type { RemoteService } from '../aggregation/api-services.ts';
import type { GroupVersion, KindIndex } from '../kind-index.ts';
import { reviewKinds } from './computed-kinds.ts';
import { pathsOf } from './openapi-paths.ts';

/** Asked for with an `@` after `v2` or `v3`, which no media type may have, by older clients; answered without. */
const swaggerProtobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const openApiProtobuf = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf';
const info = { title: 'Kubernetes', version: 'v1.34.0' };
const yearMs = 365 * 86_400_000;
const maxHashes = 1000;

interface Foreign { readonly remote: RemoteService; readonly document: Readonly<Record<string, unknown>> }
interface Swagger { readonly swagger: string; readonly info: typeof info; readonly paths: Record<string, unknown>; readonly definitions: Record<string, unknown> }

/**
 * OpenAPI documents, made when asked for and not kept: clients cache them by their hash. kubectl looks in them for
 * schemas (`explain`, `apply`, `--validate`) and for parameters such as `fieldValidation`.
 */
export class OpenApi {
  readonly #kinds: KindIndex;
  readonly #aggregated: Aggregated;
  readonly #hashes = new Map<string, string>();
  #edition = '';

  constructor(kinds: KindIndex, aggregated: Aggregated) {
    this.#kinds = kinds;
    this.#aggregated = aggregated;
  }

  /** Undefined when the path is not one of OpenAPI's. */
  async serve(request: ApiRequest): Promise<Reply | undefined> {
    const [root, version, ...rest] = request.segments;
    if (root !== 'openapi') return undefined;
    if (version === 'v2' && rest.length === 0) return this.#v2(request);
    if (version !== 'v3') throw noSuchPath();
    const groups = this.#groupVersions();
    const remote = this.#aggregated.services.remote(rest[1] ?? '', rest[2] ?? '');
    if (remote && rest.length === 3 && rest[0] === 'apis') return this.#foreign(request, remote);
    if (rest.length === 0) {
      const hashes = [...groups.map((gv) => [root3(gv), this.#hash(root3(gv), () => this.#v3(gv))] as const), ...await this.#foreignHashes()];
      const paths = Object.fromEntries(hashes.map(([name, hash]) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` }]));
      return compressed(request, { status: 200, contentType: jsonType, body: JSON.stringify({ paths }) });
    }
    const found = groups.find((gv) => root3(gv) === rest.join('/'));
    if (!found) throw noSuchPath();
    for (const range of mediaRanges(request.headers.accept)) {
      if (isJson(range)) return this.#document(request, root3(found), jsonType, () => this.#v3(found));
      if (range.type.replace('@', '.') === openApiProtobuf) return this.#document(request, root3(found), openApiProtobuf, () => this.#v3(found), async () => (await import('../protobuf/openapi-v3.ts')).encodeOpenApi(this.#describe(found)));
    }
    throw notAcceptable();
  }

  async #foreign(request: ApiRequest, remote: RemoteService): Promise<Reply> {
    const document = await (await this.#aggregated.load()).documents.openApi(remote);
    if (!document) throw noSuchPath();
    return tagged(request, { status: 200, contentType: jsonType, body: JSON.stringify(document) });
  }

  /** Of the documents of servers that have one now. */
  async #foreignHashes(): Promise<(readonly [string, string])[]> {
    const { remotes } = this.#aggregated.services;
    if (remotes.length === 0) return [];
    const { documents } = await this.#aggregated.load();
    const all = await Promise.all(remotes.map(async (remote) => [root3(remote), await documents.openApi(remote)] as const));
    return all.flatMap(([name, document]) => (document ? [[name, hashOf(JSON.stringify(document))] as const] : []));
  }

  async #foreignSwaggers(): Promise<readonly Foreign[]> {
    const { remotes } = this.#aggregated.services;
    if (remotes.length === 0) return [];
    const { documents } = await this.#aggregated.load();
    const all = await Promise.all(remotes.map(async (remote) => ({ remote, document: await documents.swagger(remote) })));
    return all.flatMap(({ remote, document }) => (document ? [{ remote, document }] : []));
  }

  async #v2(request: ApiRequest): Promise<Reply> {
    const foreign = await this.#foreignSwaggers();
    const key = foreign.length === 0 ? '' : ` ${hashOf(JSON.stringify(foreign.map(({ document }) => document)))}`;
    for (const range of mediaRanges(request.headers.accept)) {
      if (isJson(range)) return this.#document(request, `v2${key}`, jsonType, async () => Buffer.from(JSON.stringify(await this.#swagger(foreign))));
      if (range.type.replace('@', '.') === swaggerProtobuf) {
        return this.#document(request, `v2 protobuf${key}`, swaggerProtobuf, async () => (await import('../protobuf/swagger.ts')).encodeSwagger(await this.#swagger(foreign)));
      }
    }
    throw notAcceptable();
  }

  /**
   * A document that its client may have already. Who names its hash may keep it for ever: another one has another address.
   * `form` is the document in the form that is wanted, where that is not the one that the hash is of.
   */
  async #document(request: ApiRequest, key: string, contentType: string, make: () => Buffer | Promise<Buffer>, form?: () => Promise<Buffer>): Promise<Reply> {
    const wanted = request.query.get('hash');
    const known = this.#known(key);
    let body = known === undefined ? await make() : undefined;
    const hash = known ?? this.#hash(key, () => body ?? Buffer.alloc(0));
    if (wanted && wanted !== hash) return { status: 301, contentType, body: '', headers: { Location: `${request.path}?hash=${hash}` } };
    const headers = wanted ? { 'Cache-Control': 'public, immutable', Expires: new Date(Date.now() + yearMs).toUTCString() } : {};
    body ??= hasTag(request, hash) ? Buffer.alloc(0) : await make();
    const reply = { status: 200, contentType, body: form && body.length > 0 ? await form() : body, headers };
    return tagged(request, reply, hash);
  }

  #known(key: string): string | undefined {
    const edition = `${String(this.#kinds.edition)} ${String(this.#aggregated.services.edition)}`;
    if (this.#edition !== edition || this.#hashes.size > maxHashes) {
      this.#hashes.clear();
      this.#edition = edition;
    }
    return this.#hashes.get(key);
  }

  #hash(key: string, make: () => Buffer): string {
    let hash = this.#known(key);
    if (hash === undefined) this.#hashes.set(key, hash = hashOf(make()));
    return hash;
  }

  #groupVersions(): readonly GroupVersion[] {
    const computed = [...Map.groupBy(computedKinds, ({ resource }) => apiVersionOf(resource)).values()];
    const known = new Set(this.#kinds.groupVersions().map((gv) => root3(gv)));
    return [...this.#kinds.groupVersions(), ...computed.flatMap((kinds) => (kinds[0] ? [{ group: kinds[0].resource.group, version: kinds[0].resource.version, kinds }] : []))
      .filter((gv) => !known.has(root3(gv)))].filter(({ group, version }) => !this.#aggregated.services.remote(group, version));
  }

  get #all(): readonly KindDefinition[] {
    return [...this.#kinds.all, ...computedKinds].filter(({ resource: { group, version } }) => !this.#aggregated.services.remote(group, version));
  }

  #v3(gv: GroupVersion): Buffer {
    return Buffer.from(JSON.stringify(this.#describe(gv)));
  }

  #describe(gv: GroupVersion): Readonly<Record<string, unknown>> {
    const names = new OpenApiNames(this.#all);
    return { openapi: '3.0.0', info, paths: pathsOf(gv.kinds, { version: 3, names }), components: { schemas: definitionsFor(gv.kinds, 3, names) } };
  }

  async #swagger(foreign: readonly Foreign[]): Promise<Swagger> {
    const names = new OpenApiNames(this.#all);
    const own: Swagger = { swagger: '2.0', info, paths: pathsOf(this.#all, { version: 2, names }), definitions: definitionsFor(this.#all, 2, names) };
    if (foreign.length === 0) return own;
    const { mergeSwagger } = await import('../aggregation/swagger.ts');
    return foreign.reduce((all, { remote, document }) => mergeSwagger(all, document, remote), own);
  }
}

const computedKinds = Object.values(reviewKinds).flatMap((kind) => kind ?? []);

function root3({ group, version }: Pick<GroupVersion, 'group' | 'version'>): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}
