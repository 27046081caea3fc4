import type { ApiRequest } from '../http/request.ts';
import { booleanParameter } from '../list-options.ts';

/** A URL below /api/v1 or /apis/GROUP/VERSION, taken apart. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** More segments than any resource of this server has; another server may know them. */
  readonly beyond?: readonly string[];
  /** Below `/watch/`, as watches were asked for before `?watch`. */
  readonly watched?: boolean;
}

const namespaceSubresources = new Set(['status', 'finalize']);

/** Undefined when the path names no resource. */
export function parseResourcePath(segments: readonly string[]): ResourcePath | undefined {
  const core = segments[0] === 'api';
  if (!core && segments[0] !== 'apis') return undefined;
  const [group = '', version, ...all] = core ? ['', ...segments.slice(1)] : segments.slice(1);
  const watched = all[0] === 'watch' && all.length > 1;
  const rest = watched ? all.slice(1) : all;
  const inNamespace = rest[0] === 'namespaces' && rest.length >= 3 && !(rest.length === 3 && namespaceSubresources.has(rest[2] ?? ''));
  const [plural, name, subresource, ...more] = inNamespace ? rest.slice(2) : rest;
  if (version === undefined || plural === undefined) return undefined;
  return { group, version, namespace: inNamespace ? rest[1] : undefined, plural, name, subresource, ...(more.length > 0 && { beyond: more }), ...(watched && { watched }) };
}

/** Kubernetes' verb for a method on a resource; undefined for methods that none has. */
export function verbOf(request: Pick<ApiRequest, 'method' | 'query'>, path: Pick<ResourcePath, 'name' | 'subresource' | 'watched'>): string | undefined {
  if (path.watched) return request.method === 'GET' || request.method === 'HEAD' ? 'watch' : undefined;
  switch (request.method) {
    case 'GET':
    case 'HEAD': return path.name !== undefined ? 'get' : booleanParameter(request.query, 'watch') ? 'watch' : 'list';
    case 'POST': return 'create';
    case 'PUT': return 'update';
    case 'PATCH': return 'patch';
    case 'DELETE': return path.name === undefined ? 'deletecollection' : 'delete';
    case 'OPTIONS': return path.subresource === 'proxy' ? '' : undefined;
    default: return undefined;
  }
}
