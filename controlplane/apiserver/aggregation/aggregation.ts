import type { APIService } from '#api/gen/types.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { forward } from '../streams/proxy/forward.ts';
import { text, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { User } from '../types.ts';
import { isAvailable, type RemoteService } from './api-services.ts';
import { Backends, type Answer, type BackendsDeps } from './backend.ts';
import { RemoteDocuments } from './documents.ts';
import { frontProxyHeaders } from './front-proxy.ts';

/** In whose name this server asks what others serve. */
const aggregator: User = { name: 'system:kube-aggregator', groups: ['system:masters'] };
const answerMs = 5_000;

/** Hands requests on to the servers behind APIServices, and asks them what they serve. Loaded with the first. */
export class Aggregation {
  readonly documents = new RemoteDocuments((remote, path) => this.#ask(remote, path));
  readonly #backends: Backends;

  constructor(deps: BackendsDeps) {
    this.#backends = new Backends(deps);
  }

  get backends(): Backends { return this.#backends; }

  /** Bodies, watches and upgrades go through as they come. */
  async serve(remote: RemoteService, request: ApiRequest, user: User): Promise<Reply> {
    const unavailable = text('service unavailable\n', 503);
    if (!isAvailable(remote)) return unavailable;
    let backend;
    try {
      backend = await this.#backends.find(remote, request.signal);
    } catch (error) {
      if (!isStatus(error, 'ServiceUnavailable') || request.signal.aborted) throw error;
      return unavailable;
    }
    const { url = '' } = request.incoming;
    const query = url.includes('?') ? url.slice(url.indexOf('?')) : '';
    return forward(request, { ...backend, secure: false, headers: { ...frontProxyHeaders(user), host: backend.host } }, request.path + query, '');
  }

  /** Throws, in Kubernetes' words, when the server does not answer for its group version. */
  async check(apiService: APIService, signal: AbortSignal): Promise<void> {
    const { group = '', version = '' } = apiService.spec ?? {};
    const path = `/apis/${group}/${version}`;
    let answer;
    try {
      answer = await this.#ask({ group, version, apiService }, path, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      throw new StatusError('ServiceUnavailable', `failing or missing response from ${path}: ${messageOf(error)}`, { cause: error });
    }
    if (answer.status < 200 || answer.status >= 300) throw new StatusError('ServiceUnavailable', `failing or missing response from ${answer.url}: bad status from ${answer.url}: ${String(answer.status)}`);
  }

  /** What another server answers to a GET of `path` below its group version, in `user`'s name. Rejects when that is no JSON, or an error. */
  async read(remote: RemoteService, path: string, user: User, signal: AbortSignal): Promise<unknown> {
    const { url, status, body } = await this.#backends.get(remote, `/apis/${remote.group}/${remote.version}${path}`, { accept: 'application/json' }, user, signal);
    if (status >= 200 && status < 300) return JSON.parse(body.toString()) as unknown;
    throw new StatusError('ServiceUnavailable', wordsOf(body) ?? `${url} answered ${String(status)}`);
  }

  /** A document of the other server. Rejects when it cannot be had in time. */
  async #ask(remote: RemoteService, path: string, signal?: AbortSignal): Promise<Answer & { readonly url: string }> {
    const late = AbortSignal.timeout(answerMs);
    try {
      return await this.#backends.get(remote, path, { accept: 'application/json' }, aggregator, signal ? AbortSignal.any([signal, late]) : late);
    } catch (error) {
      if (late.aborted) throw new StatusError('Timeout', 'context deadline exceeded', { cause: error });
      throw error;
    }
  }
}

/** The message of a Status. */
function wordsOf(body: Buffer): string | undefined {
  try {
    const { message } = JSON.parse(body.toString()) as { message?: unknown };
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}
