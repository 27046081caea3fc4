import { Client, credentials, Metadata, status, type ClientDuplexStream, type ChannelCredentials, type MethodDefinition, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js';
import { messageOf, StatusError } from '#common/errors.ts';
import { loadContract } from '#proto/load.ts';

export interface EtcdConfig {
  /** As URLs: `https://10.0.0.1:2379`. The next one is asked when one is not there. */
  readonly servers: readonly string[];
  /** PEM. The host's own authorities are trusted when there is no CA. */
  readonly ca?: Buffer;
  readonly key?: Buffer;
  readonly certificate?: Buffer;
  readonly timeoutMs: number;
}

export interface KeyValue { readonly key: Buffer; readonly value: Buffer; readonly createRevision: number; readonly modRevision: number }
interface Header { readonly revision: number }
export interface RangeRequest { readonly key: Buffer; readonly rangeEnd?: Buffer; readonly limit?: number; readonly revision?: number }
export interface RangeResponse { readonly header: Header; readonly kvs: readonly KeyValue[]; readonly more: boolean }
export interface Compare { readonly result: 'EQUAL'; readonly target: 'CREATE' | 'VALUE'; readonly key: Buffer; readonly createRevision?: number; readonly value?: Buffer }
export type Operation =
  | { readonly requestRange: RangeRequest }
  | { readonly requestPut: { readonly key: Buffer; readonly value: Uint8Array; readonly lease?: string } }
  | { readonly requestDeleteRange: { readonly key: Buffer } };
export interface TxnRequest { readonly compare: readonly Compare[]; readonly success: readonly Operation[]; readonly failure?: readonly Operation[] }
export interface TxnResponse { readonly header: Header; readonly succeeded: boolean; readonly responses: readonly { readonly responseRange?: RangeResponse }[] }
interface WatchResponse { readonly canceled: boolean; readonly events: readonly { readonly type: 'PUT' | 'DELETE' }[] }
interface KeepAliveResponse { readonly TTL: string }

/** etcd's limit for one transaction, as it comes. */
export const mostOperations = 128;
const service = 'etcdserverpb.';

/**
 * What Cleat asks of etcd (API v3). One server at a time; who does not answer is left for the next. Rejects with
 * `ServiceUnavailable` when none answers: whether a write was done is not known then.
 */
export class EtcdClient {
  readonly #config: EtcdConfig;
  readonly #services: ReadonlyMap<string, ServiceDefinition>;
  readonly #clients: readonly Client[];
  #current = 0;

  constructor(config: EtcdConfig) {
    this.#config = config;
    // IDs of leases use all 64 bits; revisions are counts.
    this.#services = loadContract(new URL('../../../../proto/third_party/etcd/rpc.proto', import.meta.url), { longs: 'string' }).services;
    this.#clients = config.servers.map((server) => {
      const url = new URL(server);
      return new Client(url.host, channelOf(url, config), {
        'grpc.keepalive_time_ms': 5000, 'grpc.keepalive_timeout_ms': 3000, 'grpc.keepalive_permit_without_calls': 0, 'grpc.max_receive_message_length': -1,
        'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 2000,
      });
    });
  }

  get location(): string { return this.#config.servers.join(','); }

  async range(request: RangeRequest): Promise<RangeResponse> {
    return rangeOf(await this.#read<RawRange>('KV', 'Range', request));
  }

  /** One that only reads may be asked of the next server; others fail, and it is not known whether they were done. */
  async txn(request: TxnRequest): Promise<TxnResponse> {
    const reads = [...request.success, ...request.failure ?? []].every((operation) => 'requestRange' in operation);
    const ask = reads ? this.#read.bind(this) : this.#call.bind(this);
    const { header, succeeded, responses } = await ask<{ header: RawHeader; succeeded: boolean; responses: readonly { responseRange?: RawRange | null }[] }>('KV', 'Txn', request);
    return { header: headerOf(header), succeeded, responses: responses.map(({ responseRange }) => (responseRange ? { responseRange: rangeOf(responseRange) } : {})) };
  }

  async compact(revision: number): Promise<void> {
    await this.#call('KV', 'Compact', { revision });
  }

  /** The ID of a lease of so many seconds. */
  async grant(seconds: number): Promise<string> {
    const { ID } = await this.#read<{ ID: string }>('Lease', 'LeaseGrant', { TTL: seconds });
    return ID;
  }

  async revoke(lease: string): Promise<void> {
    await this.#call('Lease', 'LeaseRevoke', { ID: lease });
  }

  /** Renews a lease once; resolves with how many seconds it has, 0 when there is none any more. */
  async renew(lease: string, signal: AbortSignal): Promise<number> {
    const { TTL } = await this.#first<KeepAliveResponse>('Lease', 'LeaseKeepAlive', { ID: lease }, () => true, signal, this.#config.timeoutMs);
    return Number(TTL);
  }

  /** Resolves when a key is removed after a revision. */
  async removed(key: Buffer, after: number, signal: AbortSignal): Promise<void> {
    await this.#first<WatchResponse>('Watch', 'Watch', { createRequest: { key, startRevision: after + 1 } }, ({ canceled, events }) => canceled || events.some(({ type }) => type === 'DELETE'), signal);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #read<Response>(group: string, name: string, request: object): Promise<Response> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#call<Response>(group, name, request);
      } catch (error) {
        if (tries >= this.#clients.length || !(error instanceof StatusError) || error.code !== 'ServiceUnavailable') throw error;
      }
    }
  }

  #call<Response>(group: string, name: string, request: object): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = this.#method(group, name);
    const asked = this.#current;
    return new Promise((resolve, reject) => {
      this.#clients[asked]?.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), { deadline: Date.now() + this.#config.timeoutMs }, (error, response) => {
        if (error) reject(this.#failure(error, asked));
        else resolve(response as Response);
      });
    });
  }

  /** Opens a stream with one request, and ends it with the first answer that is wanted. */
  #first<Response>(group: string, name: string, request: object, wanted: (response: Response) => boolean, signal: AbortSignal, timeoutMs?: number): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = this.#method(group, name);
    const asked = this.#current;
    return new Promise((resolve, reject) => {
      const call = this.#clients[asked]?.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata(), timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }) as ClientDuplexStream<object, Response>;
      const abort = (): void => { call.cancel(); };
      const end = (finish: () => void): void => { signal.removeEventListener('abort', abort); call.cancel(); finish(); };
      call.on('data', (response: Response) => { if (wanted(response)) end(() => { resolve(response); }); });
      call.on('error', (error: ServiceError) => { end(() => { reject(signal.aborted ? signal.reason as Error : this.#failure(error, asked)); }); });
      call.on('end', () => { end(() => { reject(new StatusError('ServiceUnavailable', `etcd at ${this.location} ended a stream`, { retryAfterMs: 1000 })); }); });
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      else call.write(request);
    });
  }

  #method(group: string, name: string): MethodDefinition<object, object> {
    const method = this.#services.get(service + group)?.[name];
    if (!method) throw new Error(`rpc.proto has no ${group}.${name}`);
    return method as MethodDefinition<object, object>;
  }

  #failure(error: ServiceError, asked: number): StatusError {
    const why = error.details || messageOf(error);
    const where = this.#config.servers[asked] ?? '';
    switch (error.code) {
      case status.UNAVAILABLE: case status.DEADLINE_EXCEEDED: case status.CANCELLED: case status.INTERNAL: case status.UNKNOWN:
        // Several calls may have failed at once: only the first of them turns to the next server.
        if (this.#current === asked) this.#current = (asked + 1) % this.#clients.length;
        return new StatusError('ServiceUnavailable', `etcd at ${where} does not answer: ${why}; see that it runs and has a majority of its members`, { cause: error, retryAfterMs: 1000 });
      case status.RESOURCE_EXHAUSTED:
        return new StatusError('ServiceUnavailable', `etcd at ${where} refuses: ${why}; give it more room (etcdctl alarm list, --quota-backend-bytes)`, { cause: error, retryAfterMs: 10_000 });
      case status.UNAUTHENTICATED: case status.PERMISSION_DENIED:
        return new StatusError('Forbidden', `etcd at ${where} refuses: ${why}; give a client certificate that it trusts with --etcd-certfile and --etcd-keyfile`, { cause: error });
      default:
        return new StatusError('ServiceUnavailable', `etcd at ${where} refuses: ${why}`, { cause: error, retryAfterMs: 1000 });
    }
  }
}

interface RawHeader { readonly revision: string }
interface RawRange { readonly header: RawHeader | null; readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly createRevision: string; readonly modRevision: string }[]; readonly more: boolean }

function headerOf(header: RawHeader | null): Header {
  return { revision: Number(header?.revision ?? 0) };
}

function rangeOf({ header, kvs, more }: RawRange): RangeResponse {
  return { header: headerOf(header), more, kvs: kvs.map((kv) => ({ ...kv, createRevision: Number(kv.createRevision), modRevision: Number(kv.modRevision) })) };
}

function channelOf(url: URL, { ca, key, certificate }: EtcdConfig): ChannelCredentials {
  return url.protocol === 'https:' ? credentials.createSsl(ca ?? null, key ?? null, certificate ?? null) : credentials.createInsecure();
}
