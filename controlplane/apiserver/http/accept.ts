import type { IncludeObject, MetaVersion } from '#api/meta/table.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest } from '../api-errors.ts';
import type { ApiRequest } from './request.ts';

/** The form in which a client wants objects. */
export type ObjectForm =
  | { readonly form: 'object' }
  | { readonly form: 'metadata'; readonly apiVersion: MetaVersion }
  | { readonly form: 'table'; readonly apiVersion: MetaVersion; readonly includeObject: IncludeObject };

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

function isYaml({ type }: MediaRange): boolean {
  return type === 'application/yaml';
}

/** True when the client would rather read YAML than JSON. */
export function prefersYaml({ headers }: Pick<ApiRequest, 'headers'>): boolean {
  return headers.accept?.includes('yaml') === true && mediaRanges(headers.accept).find((range) => isYaml(range) || isJson(range))?.type === 'application/yaml';
}

export function notAcceptable(why = 'only the following media types are accepted: application/json, application/json;stream=watch, application/yaml'): StatusError {
  return new StatusError('NotAcceptable', why);
}

/**
 * The first form that the client names and that is served. NotAcceptable when there is none.
 * A list has another form of metadata than one object has; both are refused where they do not fit.
 */
export function objectForm(request: Pick<ApiRequest, 'headers' | 'query'>, shape: 'item' | 'list' = 'item'): ObjectForm {
  for (const range of mediaRanges(request.headers.accept)) {
    const as = range.params.get('as');
    if (as === undefined && (isJson(range) || isYaml(range))) return { form: 'object' };
    const version = range.params.get('v');
    if (!isJson(range) || range.params.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) continue;
    const apiVersion = `meta.k8s.io/${version}` as const;
    if (as === 'Table') return { form: 'table', apiVersion, includeObject: includeObject(request.query) };
    if (as === 'PartialObjectMetadata' && shape === 'list') throw notAcceptable('you requested PartialObjectMetadata, but the requested object is a list');
    if (as === 'PartialObjectMetadataList' && shape === 'item') throw notAcceptable('you requested PartialObjectMetadataList, but the requested object is not a list');
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { form: 'metadata', apiVersion };
  }
  throw notAcceptable();
}

function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get('includeObject') ?? '';
  if (value === '') return 'Metadata';
  if (value === 'None' || value === 'Object' || value === 'Metadata') return value;
  throw badRequest(`unable to convert to Table: unrecognized includeObject value: ${JSON.stringify(value)}: must be None, Metadata or Object`);
}
