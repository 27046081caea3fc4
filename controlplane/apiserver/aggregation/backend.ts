import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { http } from '#common/node-http.ts';
import { duplexOfChannels } from '#common/streams/duplex.ts';
import type { Informer } from '#controlplane/cache/types.ts';
import type { Informers } from '../auth/types.ts';
import type { NodeGateway, User } from '../types.ts';
import type { RemoteService } from './api-services.ts';
import { frontProxyHeaders, type FrontProxy } from './front-proxy.ts';

export interface BackendsDeps {
  readonly informers: Informers;
  /** Pods are reached through the agents of their nodes; absent where none connect: directly. */
  readonly nodes: NodeGateway | undefined;
  /** Absent in some tests: requests then bring no certificate. */
  readonly frontProxy: FrontProxy | undefined;
}

/** Where one request goes. */
export interface Backend {
  /** `address:port` of the endpoint. */
  readonly host: string;
  /** A verified connection. */
  connect(signal: AbortSignal): Promise<Duplex>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** What one request asks for. */
export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface OpenAnswer extends Omit<Answer, 'body'> {
  readonly url: string;
  readonly body: AsyncIterable<Buffer>;
}

/** A document of this size no server of an API has. */
const maxAnswerBytes = 16 << 20;
/** Longer than a certificate needs to be renewed in time, short enough to see a new one. */
const contextLifeMs = 3_600_000;

interface Endpoint { readonly address: string; readonly port: number; readonly nodeName: string | undefined }

/** Connections to the servers behind APIServices. */
export class Backends {
  readonly #deps: BackendsDeps;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #contexts = new WeakMap<object, { readonly context: SecureContext; readonly madeAt: number }>();

  constructor(deps: BackendsDeps) {
    this.#deps = deps;
    this.#services = deps.informers.informer(services);
    this.#slices = deps.informers.informer(endpointSlices);
  }

  /** One of the Service's ready endpoints, by chance. Throws `ServiceUnavailable` when there is none. */
  async find(remote: RemoteService, signal: AbortSignal): Promise<Backend> {
    await Promise.all([this.#services.synced(signal), this.#slices.synced(signal)]);
    const endpoint = this.#endpoint(remote);
    const host = endpoint.address.includes(':') ? `[${endpoint.address}]:${String(endpoint.port)}` : `${endpoint.address}:${String(endpoint.port)}`;
    return { host, connect: (ended) => this.#connect(remote, endpoint, ended) };
  }

  /** A whole document, asked for in `user`'s name. */
  get(remote: RemoteService, path: string, headers: Record<string, string>, user: User, signal: AbortSignal): Promise<Answer & { readonly url: string }> {
    return this.ask(remote, { method: 'GET', path, headers }, user, signal);
  }

  /** One request in `user`'s name, and the whole answer. */
  async ask(remote: RemoteService, asked: Asked, user: User, signal: AbortSignal): Promise<Answer & { readonly url: string }> {
    const { url, status, headers, body } = await this.open(remote, asked, user, signal);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body) {
      chunks.push(chunk);
      if ((size += chunk.length) > maxAnswerBytes) throw new Error(`the answer is larger than ${String(maxAnswerBytes)} bytes`);
    }
    return { url, status, headers, body: Buffer.concat(chunks) };
  }

  /** As `ask`, for an answer that is read as it comes; the connection ends with it. */
  async open(remote: RemoteService, { method, path, headers, body }: Asked, user: User, signal: AbortSignal): Promise<OpenAnswer> {
    const backend = await this.find(remote, signal);
    const url = `https://${backend.host}${path}`;
    const connection = await backend.connect(signal);
    return new Promise((resolve, reject) => {
      const length = body === undefined ? undefined : { 'content-length': String(Buffer.byteLength(body)) };
      const request = http.request({ method, path, headers: { ...headers, ...length, ...frontProxyHeaders(user), host: backend.host }, setHost: false, createConnection: () => connection, signal }, (answer) => {
        answer.once('close', () => { connection.destroy(); });
        resolve({ url, status: answer.statusCode ?? 0, headers: answer.headers, body: answer });
      });
      request.once('error', (error) => { connection.destroy(); reject(error); });
      request.end(body);
    });
  }

  #endpoint({ apiService }: RemoteService): Endpoint {
    const { namespace = '', name = '', port = 443 } = apiService.spec?.service ?? {};
    const service = this.#services.get(namespace, name);
    if (!service) throw new StatusError('ServiceUnavailable', `service ${JSON.stringify(name)} not found`);
    const servicePort = service.spec?.ports?.find((one) => one.port === port);
    if (service.spec?.type === 'ExternalName') return { address: service.spec.externalName ?? '', port, nodeName: undefined };
    if (!servicePort) throw new StatusError('ServiceUnavailable', `no service port ${String(port)} found for service ${JSON.stringify(name)}`);
    const found = this.#slices.list(namespace).filter(({ metadata }) => metadata?.labels?.['kubernetes.io/service-name'] === name).flatMap(({ endpoints, ports }) => {
      const target = ports?.find((one) => (one.name ?? '') === (servicePort.name ?? ''))?.port;
      return (endpoints ?? []).flatMap(({ addresses: [address], conditions, nodeName }) => (target === undefined || address === undefined || conditions?.ready === false ? [] : [{ address, port: target, nodeName }]));
    });
    const chosen = found[Math.floor(Math.random() * found.length)];
    if (!chosen) throw new StatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(name)}`);
    return chosen;
  }

  async #connect(remote: RemoteService, { address, port, nodeName }: Endpoint, signal: AbortSignal): Promise<Duplex> {
    const { namespace = '', name = '' } = remote.apiService.spec?.service ?? {};
    const { nodes } = this.#deps;
    const [tls, net, secureContext] = await Promise.all([import('node:tls'), import('node:net'), this.#context(remote)]);
    const socket = nodes && nodeName !== undefined
      ? duplexOfChannels(await nodes.open(nodeName, { kind: 'dial', host: address, port }, [0], signal))
      : net.connect({ host: address, port, noDelay: true });
    return new Promise((resolve, reject) => {
      const secured = tls.connect({ socket, secureContext, servername: `${name}.${namespace}.svc`, rejectUnauthorized: remote.apiService.spec?.insecureSkipTLSVerify !== true, ALPNProtocols: ['http/1.1'] });
      const fail = (error: unknown): void => { secured.destroy(); socket.destroy(); reject(error instanceof Error ? error : new StatusError('ServiceUnavailable', 'the connection was closed')); };
      const abort = (): void => { fail(signal.reason); };
      socket.on('error', fail);
      secured.once('error', fail);
      signal.addEventListener('abort', abort, { once: true });
      secured.once('secureConnect', () => {
        signal.removeEventListener('abort', abort);
        secured.off('error', fail).on('error', () => undefined);
        secured.once('close', () => { socket.destroy(); });
        resolve(secured);
      });
    });
  }

  /** Making one parses certificates: it is kept as long as the object says the same. */
  async #context({ apiService }: RemoteService): Promise<SecureContext> {
    const known = this.#contexts.get(apiService);
    const now = performance.now();
    if (known && now - known.madeAt < contextLifeMs) return known.context;
    const [tls, client] = await Promise.all([import('node:tls'), this.#deps.frontProxy?.client()]);
    const { caBundle } = apiService.spec ?? {};
    const context = tls.createSecureContext({ ...(caBundle && { ca: Buffer.from(caBundle, 'base64') }), ...(client && { cert: client.certPem, key: client.keyPem }) });
    this.#contexts.set(apiService, { context, madeAt: now });
    return context;
  }
}
