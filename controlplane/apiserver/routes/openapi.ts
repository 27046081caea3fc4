import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { OpenApiNames } from '#api/meta/openapi-names.ts';
import { definitionsFor } from '#api/meta/openapi.ts';
import { noSuchPath } from '../api-errors.ts';
import { isJson, mediaRanges, notAcceptable } from '../http/accept.ts';
import { compressed, hashOf, hasTag, tagged } from '../http/compress.ts';
import { jsonType, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { GroupVersion, KindIndex } from '../kind-index.ts';
import { reviewKinds } from './computed-kinds.ts';
import { pathsOf } from './openapi-paths.ts';

/** Asked for with an `@`, which no media type may have, by kubectl before 1.27; answered without. */
const swaggerProtobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const info = { title: 'Kubernetes', version: 'v1.34.0' };
const yearMs = 365 * 86_400_000;

/**
 * OpenAPI documents, made when asked for and not kept: clients cache them by their hash. kubectl looks in them for
 * schemas (`explain`, `apply`, `--validate`) and for parameters such as `fieldValidation`.
 */
export class OpenApi {
  readonly #kinds: KindIndex;
  readonly #hashes = new Map<string, string>();
  #edition = -1;

  constructor(kinds: KindIndex) {
    this.#kinds = kinds;
  }

  /** Undefined when the path is not one of OpenAPI's. */
  async serve(request: ApiRequest): Promise<Reply | undefined> {
    const [root, version, ...rest] = request.segments;
    if (root !== 'openapi') return undefined;
    if (version === 'v2' && rest.length === 0) return this.#v2(request);
    if (version !== 'v3') throw noSuchPath();
    const groups = this.#groupVersions();
    if (rest.length === 0) {
      const paths = Object.fromEntries(groups.map((gv) => [root3(gv), { serverRelativeURL: `/openapi/v3/${root3(gv)}?hash=${this.#hash(root3(gv), () => this.#v3(gv))}` }]));
      return compressed(request, { status: 200, contentType: jsonType, body: JSON.stringify({ paths }) });
    }
    const found = groups.find((gv) => root3(gv) === rest.join('/'));
    if (!found) throw noSuchPath();
    if (!mediaRanges(request.headers.accept).some(isJson)) throw notAcceptable();
    return this.#document(request, root3(found), jsonType, () => this.#v3(found));
  }

  #v2(request: ApiRequest): Promise<Reply> {
    for (const range of mediaRanges(request.headers.accept)) {
      if (isJson(range)) return this.#document(request, 'v2', jsonType, () => Buffer.from(JSON.stringify(this.#swagger())));
      if (range.type.replace('@', '.') === swaggerProtobuf) {
        return this.#document(request, 'v2 protobuf', swaggerProtobuf, async () => (await import('../protobuf/swagger.ts')).encodeSwagger(this.#swagger()));
      }
    }
    throw notAcceptable();
  }

  /** A document that its client may have already. Who names its hash may keep it for ever: another one has another address. */
  async #document(request: ApiRequest, key: string, contentType: string, make: () => Buffer | Promise<Buffer>): Promise<Reply> {
    const wanted = request.query.get('hash');
    const known = this.#known(key);
    let body = known === undefined ? await make() : undefined;
    const hash = known ?? this.#hash(key, () => body ?? Buffer.alloc(0));
    if (wanted && wanted !== hash) return { status: 301, contentType, body: '', headers: { Location: `${request.path}?hash=${hash}` } };
    const headers = wanted ? { 'Cache-Control': 'public, immutable', Expires: new Date(Date.now() + yearMs).toUTCString() } : {};
    body ??= hasTag(request, hash) ? Buffer.alloc(0) : await make();
    return tagged(request, { status: 200, contentType, body, headers }, hash);
  }

  #known(key: string): string | undefined {
    if (this.#edition !== this.#kinds.edition) {
      this.#hashes.clear();
      this.#edition = this.#kinds.edition;
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
      .filter((gv) => !known.has(root3(gv)))];
  }

  get #all(): readonly KindDefinition[] {
    return [...this.#kinds.all, ...computedKinds];
  }

  #v3(gv: GroupVersion): Buffer {
    const names = new OpenApiNames(this.#all);
    return Buffer.from(JSON.stringify({ openapi: '3.0.0', info, paths: pathsOf(gv.kinds, { version: 3, names }), components: { schemas: definitionsFor(gv.kinds, 3, names) } }));
  }

  #swagger(): { readonly swagger: string; readonly info: typeof info; readonly paths: Record<string, unknown>; readonly definitions: Record<string, unknown> } {
    const names = new OpenApiNames(this.#all);
    return { swagger: '2.0', info, paths: pathsOf(this.#all, { version: 2, names }), definitions: definitionsFor(this.#all, 2, names) };
  }
}

const computedKinds = Object.values(reviewKinds).flatMap((kind) => kind ?? []);

function root3({ group, version }: Pick<GroupVersion, 'group' | 'version'>): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}
