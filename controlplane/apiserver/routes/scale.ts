import type { Scale } from '#api/gen/types.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { renderTable } from '#api/meta/table.ts';
import { methodNotAllowed, noSuchPath } from '../api-errors.ts';
import { parseBytes } from '../encoding.ts';
import { partialMetadata } from '../event-format.ts';
import { objectForm } from '../http/accept.ts';
import { json, type Reply } from '../http/reply.ts';
import { mediaType } from '../http/request.ts';
import { applyPatch } from '../patches.ts';
import type { Change } from '../resource-store.ts';
import { scaleColumns, scaleKind, scaleOf, withScale } from '../scale.ts';
import type { KindCall, RouteDeps } from './types.ts';
import { decodeFor, decodePatched, readStrictly } from './documents.ts';
import { applyType, checkAddress, patchTypeOf, writeOptions } from './write-parameters.ts';

/** The `scale` subresource: how many replicas are wanted, for clients that know no more of the kind. */
export async function serveScale(deps: RouteDeps, call: KindCall): Promise<Reply> {
  const { kind, path, request, verb } = call;
  const { scale } = kind;
  const name = path.name ?? '';
  if (!scale) throw noSuchPath();
  const form = objectForm(request);
  const reply = (object: Scale, warnings: readonly string[] = []): Reply => {
    if (form.form === 'object') return { ...json(object), warnings };
    if (form.form === 'metadata') return { ...json(partialMetadata(object, form.apiVersion)), warnings };
    return { ...json(renderTable({ columns: scaleColumns }, [object], deps.clock.now(), form)), warnings };
  };
  if (verb === 'get') return reply(scaleOf(scale, parseBytes((await deps.resources.entry(kind, path.namespace, name)).value)));
  if (verb !== 'update' && verb !== 'patch') throw methodNotAllowed(kind.resource, verb);
  const warnings: string[] = [];
  const written = verb === 'patch' && mediaType(request) === applyType
    ? (await (await import('./apply.ts')).applyObject(deps, call, warnings)).written
    : await deps.resources.update(kind, path.namespace, name, await changeOf(call, scale, warnings), { ...writeOptions(request, call.user, verb === 'patch' ? 'PatchOptions' : 'UpdateOptions'), subresource: 'scale' });
  return reply(scaleOf(scale, written.object), warnings);
}

async function changeOf({ kind, path, request, verb }: KindCall, paths: NonNullable<KindDefinition['scale']>, warnings: string[]): Promise<Change> {
  const type = verb === 'patch' ? patchTypeOf(mediaType(request), kind, request.query) : undefined;
  const document = await readStrictly(request, type && [mediaType(request)]);
  return (current) => {
    warnings.length = 0;
    const scale: Scale = type
      ? decodePatched(scaleKind, document, applyPatch(scaleKind.schema(), scaleOf(paths, current), type, document.value), request.query, warnings)
      : decodeFor(scaleKind, document, request.query, warnings);
    checkAddress(scale, path.namespace, path.name ?? '');
    return withScale(paths, current, scale);
  };
}
