import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { invalid as invalidField } from '#api/meta/field-error.ts';
import { renderTable } from '#api/meta/table.ts';
import { isStatus } from '#common/errors.ts';
import type { Entry } from '#controlplane/store/types.ts';
import { badRequest, invalid, methodNotAllowed, noSuchPath } from '../api-errors.ts';
import { parseBytes } from '../encoding.ts';
import { partialMetadata } from '../event-format.ts';
import { objectForm, type ObjectForm } from '../http/accept.ts';
import { mediaType } from '../http/request.ts';
import { bytes, json, jsonType, type Reply } from '../http/reply.ts';
import { success } from '../http/status.ts';
import type { KnownObjects } from '../entry-note.ts';
import { metadataItems, tableRows } from '../list-items.ts';
import { parseListOptions, revisionParameter, tooLarge } from '../list-options.ts';
import { applyPatch } from '../patches.ts';
import { encodeList, joinMade, listMetadata, listPage, type Page } from '../resource-lists.ts';
import type { Change, Written } from '../resource-store.ts';
import { createsOnUpdate, deletesCollections, needsResourceVersion, orphaningWarning, returnsDeleted } from '../write-rules.ts';
import type { KindCall, RouteDeps } from './types.ts';
import type { applyObject } from './apply.ts';
import { requireCreate } from './create-access.ts';
import { decodeFor, decodePatched, readStrictly } from './documents.ts';
import { applyType, checkAddress, deleteOptions, patchTypeOf, writeOptions } from './write-parameters.ts';

/** The verbs on objects of one kind, over HTTP. */
export class ObjectRoutes {
  readonly #deps: RouteDeps;
  /** Loaded with the first apply; to ask for a module costs every time. */
  #applier: Promise<{ readonly applyObject: typeof applyObject }> | undefined;

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  async serve(call: KindCall): Promise<Reply> {
    const { kind, path, verb } = call;
    const { subresource } = path;
    if (subresource === 'scale' && kind.scale) return (await import('./scale.ts')).serveScale(this.#deps, call);
    if (subresource === 'finalize' && path.plural === 'namespaces' && verb === 'update') return this.#update(call);
    if (subresource !== undefined && !(subresource === 'status' && kind.status) && !Object.hasOwn(kind.parts ?? {}, subresource) && !(subresource === 'approval' && path.plural === 'certificatesigningrequests')) throw noSuchPath();
    if (path.name === undefined && kind.resource.namespaced && path.namespace === undefined && verb !== 'list') throw methodNotAllowed(kind.resource, verb);
    switch (verb) {
      case 'get': return this.#get(call);
      case 'list': return this.#list(call);
      case 'create': if (path.name !== undefined) break; return this.#create(call);
      case 'update': if (path.name === undefined) break; return this.#update(call);
      case 'patch': if (path.name === undefined) break; return this.#patch(call);
      case 'delete': if (subresource !== undefined) break; return this.#delete(call);
      case 'deletecollection': if (!deletesCollections(kind)) break; return this.#deleteCollection(call);
      default: break;
    }
    throw methodNotAllowed(kind.resource, verb);
  }

  async #get({ kind, path, request }: KindCall): Promise<Reply> {
    const form = objectForm(request);
    const wanted = revisionParameter(request.query.get('resourceVersion')) ?? 0;
    if (wanted > this.#deps.store.revision) throw tooLarge(wanted, this.#deps.store.revision);
    const { value } = await this.#deps.resources.entry(kind, path.namespace, path.name ?? '');
    return this.#reply(kind, value, form, 200, []);
  }

  async #list({ kind, path, request }: KindCall): Promise<Reply> {
    const form = objectForm(request, 'list');
    const known = this.#known(kind);
    const page = await listPage(this.#deps.store, kind, path.namespace, parseListOptions(request.query), known);
    return this.#listReply(kind, page, form, known);
  }

  /** What is stored in another form than the kind's is known in that form only. */
  #known(kind: KindDefinition): KnownObjects | undefined {
    return kind.stored ? undefined : this.#deps.informers.known(kind.resource);
  }

  #listReply(kind: KindDefinition, page: Page, form: ObjectForm, known?: KnownObjects): Reply {
    if (form.form === 'object') return { status: 200, contentType: jsonType, body: encodeList(kind, page) };
    if (form.form === 'metadata') {
      const { apiVersion } = form;
      const head = JSON.stringify({ kind: 'PartialObjectMetadataList', apiVersion, metadata: listMetadata(page) });
      return { status: 200, contentType: jsonType, body: joinMade(`${head.slice(0, -1)},"items":[`, page.entries, metadataItems(kind, apiVersion, known), ']}\n') };
    }
    const now = this.#deps.clock.now();
    const { rows: _, ...table } = renderTable(kind, [], now, form);
    const head = JSON.stringify({ ...table, metadata: listMetadata(page) });
    return { status: 200, contentType: jsonType, body: joinMade(`${head.slice(0, -1)},"rows":[`, page.entries, tableRows(kind, now, form, known), ']}\n') };
  }

  async #create({ kind, path, request, user }: KindCall): Promise<Reply> {
    const form = objectForm(request);
    const options = writeOptions(request, user);
    const warnings: string[] = [];
    const object = decodeFor(kind, await readStrictly(request), request.query, warnings);
    if (object.metadata?.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
    const written = await this.#deps.resources.create(kind, path.namespace, object, { ...options, warnings });
    return this.#reply(kind, written.bytes, form, 201, warnings);
  }

  async #update(call: KindCall): Promise<Reply> {
    const { kind, path, request, user } = call;
    const form = objectForm(request);
    const options = writeOptions(request, user, 'UpdateOptions');
    const warnings: string[] = [];
    const document = await readStrictly(request);
    const decoded = (): KubeObject => {
      warnings.length = 0;
      const object = decodeFor(kind, document, request.query, warnings);
      checkAddress(object, path.namespace, path.name ?? '');
      return object;
    };
    if (!decoded().metadata?.resourceVersion && needsResourceVersion(kind)) throw invalid(kind.resource, path.name ?? '', [invalidField('metadata.resourceVersion', 0, 'must be specified for an update')]);
    try {
      const written = await this.#deps.resources.update(kind, path.namespace, path.name ?? '', decoded, { ...options, warnings, subresource: path.subresource as 'status' | undefined });
      return this.#reply(kind, written.bytes, form, 200, warnings);
    } catch (error) {
      if (!isStatus(error, 'NotFound') || path.subresource !== undefined || !createsOnUpdate(kind)) throw error;
    }
    await requireCreate(this.#deps.authorizer, call);
    const written = await this.#deps.resources.create(kind, path.namespace, decoded(), { ...options, warnings });
    return this.#reply(kind, written.bytes, form, 201, warnings);
  }

  async #patch(call: KindCall): Promise<Reply> {
    const { kind, path, request, user } = call;
    if (mediaType(request) === applyType) return this.#apply(call);
    const form = objectForm(request);
    const options = writeOptions(request, user, 'PatchOptions');
    const type = patchTypeOf(mediaType(request), kind, request.query);
    const patch = await readStrictly(request, [mediaType(request)]);
    const warnings: string[] = [];
    const change: Change = (current) => {
      warnings.length = 0;
      const object = decodePatched(kind, patch, applyPatch(kind.schema(), current, type, patch.value), request.query, warnings);
      checkAddress(object, path.namespace, path.name ?? '');
      return object;
    };
    const written = await this.#deps.resources.update(kind, path.namespace, path.name ?? '', change, { ...options, warnings, subresource: path.subresource as 'status' | undefined });
    return this.#reply(kind, written.bytes, form, 200, warnings);
  }

  async #apply(call: KindCall): Promise<Reply> {
    const form = objectForm(call.request);
    const { applyObject: apply } = await (this.#applier ??= import('./apply.ts'));
    const warnings: string[] = [];
    const { written, created } = await apply(this.#deps, call, warnings);
    return this.#reply(call.kind, written.bytes, form, created ? 201 : 200, warnings);
  }

  async #delete({ kind, path, request, user }: KindCall): Promise<Reply> {
    const form = objectForm(request);
    const options = await deleteOptions(request, user);
    const orphaning = options.propagationPolicy === undefined ? orphaningWarning(kind) : undefined;
    const warnings: string[] = orphaning === undefined ? [] : [orphaning];
    const written = await this.#deps.resources.delete(kind, path.namespace, path.name ?? '', options, { ...options, warnings });
    if (written.removed && !returnsDeleted(kind)) return { ...json(deletedStatus(kind, written)), warnings };
    return this.#reply(kind, written.bytes, form, !written.removed && options.cascades ? 202 : 200, warnings);
  }

  /** Answers with the list of what was deleted or marked. */
  async #deleteCollection({ kind, path, request, user }: KindCall): Promise<Reply> {
    const form = objectForm(request, 'list');
    const listOptions = parseListOptions(request.query);
    const options = await deleteOptions(request, user);
    const page = await listPage(this.#deps.store, kind, path.namespace, listOptions);
    const one = async (entry: Entry): Promise<Entry[]> => {
      const name = entry.key.slice(entry.key.lastIndexOf('/') + 1);
      try {
        return [{ ...entry, value: (await this.#deps.resources.delete(kind, path.namespace, name, options, options)).bytes }];
      } catch (error) {
        if (isStatus(error, 'NotFound')) return [];
        throw error;
      }
    };
    const entries: Entry[] = [];
    // Together, so that they share a write to the disk; not all together, so that others get their turn.
    for (let i = 0; i < page.entries.length; i += 64) entries.push(...(await Promise.all(page.entries.slice(i, i + 64).map(one))).flat());
    return this.#listReply(kind, { ...page, entries }, form);
  }

  #reply(kind: KindDefinition, value: Uint8Array, form: ObjectForm, status: number, warnings: readonly string[]): Reply {
    if (form.form === 'object') return { ...bytes(value, status), warnings };
    const object = parseBytes(value);
    if (form.form === 'metadata') return { ...json(partialMetadata(object, form.apiVersion), status), warnings };
    const table = renderTable(kind, [object], this.#deps.clock.now(), form);
    return { ...json({ ...table, metadata: { resourceVersion: object.metadata?.resourceVersion ?? '' } }, status), warnings };
  }
}

function deletedStatus(kind: KindDefinition, { object }: Written): unknown {
  const { group, plural } = kind.resource;
  return success({ name: object.metadata?.name ?? '', ...(group !== '' && { group }), kind: plural, uid: object.metadata?.uid ?? '' });
}
