import type { IncludeObject } from '#api/meta/table.ts';
import { StatusError } from '#common/errors.ts';
import type { ApiRequest } from './request.ts';

/** The form in which a client wants objects. */
export type ObjectForm = { readonly form: 'object' } | { readonly form: 'metadata' } | { readonly form: 'table'; readonly includeObject: IncludeObject };

interface MediaRange { readonly type: string; readonly params: ReadonlyMap<string, string> }

export function mediaRanges(accept: string | undefined): MediaRange[] {
  const ranges = (accept ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '').slice(0, 32);
  return (ranges.length === 0 ? ['*/*'] : ranges).map((part) => {
    const [type = '', ...params] = part.split(';').map((piece) => piece.trim());
    return { type: type.toLowerCase(), params: new Map(params.map((param) => { const [key = '', value = ''] = param.split('='); return [key.toLowerCase(), value.replaceAll('"', '')] as const; })) };
  });
}

export function isJson({ type }: MediaRange): boolean {
  return type === 'application/json' || type === 'application/*' || type === '*/*';
}

export function notAcceptable(): StatusError {
  return new StatusError('NotAcceptable', 'only the following media types are accepted: application/json');
}

/** The first form that the client names and that is served. NotAcceptable when there is none. */
export function objectForm(request: ApiRequest): ObjectForm {
  for (const range of mediaRanges(request.headers.accept)) {
    if (!isJson(range)) continue;
    const as = range.params.get('as');
    if (as === undefined) return { form: 'object' };
    if (range.params.get('g') !== 'meta.k8s.io' || range.params.get('v') !== 'v1') continue;
    if (as === 'Table') return { form: 'table', includeObject: includeObject(request.query) };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { form: 'metadata' };
  }
  throw notAcceptable();
}

function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get('includeObject') ?? '';
  return value === 'None' || value === 'Object' ? value : 'Metadata';
}
