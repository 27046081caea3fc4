import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError, statusCodes, type StatusCode } from '#common/errors.ts';
import type { DeleteRequest, User } from '../types.ts';
import type { RemoteService } from './api-services.ts';
import type { Answer, Backends } from './backend.ts';

const answerMs = 15_000;
const pageSize = 500;
const jsonType = 'application/json';

export interface RemoteList { readonly items: readonly KubeObject[]; readonly resourceVersion: string }
export interface RemoteEvent { readonly type: string; readonly object: KubeObject }

/** Objects of another server's group version, reached as any client would reach them. Rejects with what the server says. */
export class RemoteObjects {
  readonly #backends: Backends;
  readonly #user: User;

  constructor(backends: Backends, user: User) {
    this.#backends = backends;
    this.#user = user;
  }

  async list(remote: RemoteService, resource: Resource, namespace: string | undefined, query: Readonly<Record<string, string>> = {}, signal?: AbortSignal): Promise<RemoteList> {
    const items: KubeObject[] = [];
    for (let next = ''; ;) {
      const page = new URLSearchParams({ ...query, limit: String(pageSize), ...(next !== '' && { continue: next }) });
      const answer = await this.#ask(remote, { method: 'GET', path: `${pathOf(resource, namespace)}?${page.toString()}` }, signal);
      const { items: found, metadata } = answer as { items?: unknown; metadata?: { resourceVersion?: string; continue?: string } };
      // Items of a list need not say what they are.
      if (Array.isArray(found)) items.push(...found.filter(isRecord).map((item) => ({ apiVersion: apiVersionOf(resource), kind: resource.kind, ...item })));
      next = metadata?.continue ?? '';
      if (next === '') return { items, resourceVersion: metadata?.resourceVersion ?? '' };
    }
  }

  get(remote: RemoteService, resource: Resource, namespace: string | undefined, name: string): Promise<KubeObject> {
    return this.#ask(remote, { method: 'GET', path: pathOf(resource, namespace, name) });
  }

  create(remote: RemoteService, resource: Resource, object: KubeObject): Promise<KubeObject> {
    return this.#ask(remote, { method: 'POST', path: pathOf(resource, object.metadata?.namespace), body: object });
  }

  update(remote: RemoteService, resource: Resource, object: KubeObject, subresource?: string): Promise<KubeObject> {
    return this.#ask(remote, { method: 'PUT', path: pathOf(resource, object.metadata?.namespace, object.metadata?.name, subresource), body: object });
  }

  patch(remote: RemoteService, resource: Resource, place: { readonly namespace: string | undefined; readonly name: string; readonly subresource?: string | undefined }, patch: { readonly type: string; readonly body: unknown }): Promise<KubeObject> {
    return this.#ask(remote, { method: 'PATCH', path: pathOf(resource, place.namespace, place.name, place.subresource), body: patch.body, contentType: `application/${patch.type}-patch+json` });
  }

  async delete(remote: RemoteService, resource: Resource, namespace: string | undefined, name: string, options: DeleteRequest): Promise<void> {
    await this.#ask(remote, { method: 'DELETE', path: pathOf(resource, namespace, name), body: { apiVersion: 'v1', kind: 'DeleteOptions', ...options } });
  }

  /** What happens to objects of every namespace after `resourceVersion`, until the other server ends it, as it is asked to, or `signal` aborts. */
  async * watch(remote: RemoteService, resource: Resource, { resourceVersion, timeoutSeconds }: { readonly resourceVersion: string; readonly timeoutSeconds: number }, signal: AbortSignal): AsyncGenerator<RemoteEvent> {
    const path = `${pathOf(resource, undefined)}?${new URLSearchParams({ watch: '1', resourceVersion, timeoutSeconds: String(timeoutSeconds), allowWatchBookmarks: 'true' }).toString()}`;
    const answer = await this.#backends.open(remote, { method: 'GET', path, headers: { accept: jsonType } }, this.#user, signal);
    if (answer.status !== 200) throw failureOf(answer.status, undefined);
    let rest = '';
    for await (const chunk of answer.body) {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxLine) throw new StatusError('InternalError', `an event of ${path} is longer than ${String(maxLine)} characters`);
      for (const line of lines) if (line.trim() !== '') yield eventOf(line, resource);
    }
  }

  async #ask(remote: RemoteService, { body, contentType = jsonType, ...asked }: { readonly method: string; readonly path: string; readonly body?: unknown; readonly contentType?: string }, signal?: AbortSignal): Promise<KubeObject> {
    const late = AbortSignal.timeout(answerMs);
    const headers = { accept: jsonType, ...(body !== undefined && { 'content-type': contentType }) };
    let answer: Answer;
    try {
      answer = await this.#backends.ask(remote, { ...asked, headers, body: body === undefined ? undefined : JSON.stringify(body) }, this.#user, signal ? AbortSignal.any([signal, late]) : late);
    } catch (error) {
      if (late.aborted) throw new StatusError('Timeout', `the server behind APIService ${remote.version}.${remote.group} did not answer within ${String(answerMs)} ms`, { cause: error });
      throw error;
    }
    const said = parsed(answer.body);
    if (answer.status >= 200 && answer.status < 300 && isRecord(said)) return said;
    throw failureOf(answer.status, said);
  }
}

const maxLine = 8 << 20;

function pathOf(resource: Resource, namespace: string | undefined, name?: string, subresource?: string): string {
  const place = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `/apis/${apiVersionOf(resource)}${place}/${resource.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}${subresource === undefined ? '' : `/${subresource}`}`;
}

function eventOf(line: string, resource: Resource): RemoteEvent {
  const event: unknown = JSON.parse(line);
  if (!isRecord(event) || typeof event['type'] !== 'string' || !isRecord(event['object'])) throw new StatusError('InternalError', 'an event of a watch is not one');
  const { type, object } = event as { type: string; object: Record<string, unknown> };
  if (type === 'ERROR') throw failureOf(typeof object['code'] === 'number' ? object['code'] : 500, object);
  return { type, object: { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object } };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

/** The Status of another server as an error of this one. */
function failureOf(http: number, said: unknown): StatusError {
  const { reason, message } = isRecord(said) ? said : {};
  const codes = Object.entries(statusCodes) as [StatusCode, { readonly http: number }][];
  const [code = 'ServiceUnavailable'] = codes.find(([name]) => name === reason) ?? codes.find(([, row]) => row.http === http) ?? [];
  return new StatusError(code, typeof message === 'string' ? message : `the other server answered ${String(http)}`);
}
