import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { kinds } from '#api/kinds/registry.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { issueCertificate, makeCaCertificate, makeKey, type CertificateAuthority } from '#common/pki/certificate.ts';
import { openStore } from '#controlplane/store/open.ts';
import { MemoryRows } from '#controlplane/store/backends/memory/backend.ts';
import type { Store } from '#controlplane/store/types.ts';
import { agentServerName, ApiServer, type ApiServerDeps } from './server.ts';
import type { User } from './types.ts';
import { freePort } from '#test/support/free-port.ts';

export interface Identity { readonly key: string; readonly cert: string }

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON; throws when it is not. */
  json<T = Record<string, unknown>>(): T;
}

export interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly identity?: Identity | 'none';
  readonly signal?: AbortSignal;
}

const dayMs = 86_400_000;

/** For tests: an API server on a random port of loopback, on a store in memory, with its own CA. */
export class TestServer {
  readonly store: Store;
  readonly port: number;
  readonly caPem: string;
  readonly ca: CertificateAuthority;
  readonly #make: () => ApiServer;
  #api: ApiServer;
  #stop = new AbortController();
  #running: Promise<void>;
  readonly #agent = new https.Agent({ keepAlive: true, maxSockets: 64 });
  readonly admin: Identity;
  readonly serving: Identity;

  private constructor(make: () => ApiServer, store: Store, port: number, ca: CertificateAuthority, serving: Identity) {
    this.serving = serving;
    this.#make = make;
    this.#api = make();
    this.store = store;
    this.port = port;
    this.ca = ca;
    this.caPem = ca.certPem;
    this.admin = this.identity('admin', ['system:masters']);
    this.#running = this.#api.start(this.#stop.signal);
  }

  get api(): ApiServer { return this.#api; }

  /** A new server on the same store, port and CA, after `meanwhile`: what clients see when the control plane restarts. */
  async restart(meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#agent.destroy();
    await meanwhile();
    this.#stop = new AbortController();
    this.#api = this.#make();
    this.#running = this.#api.start(this.#stop.signal);
    await this.#api.listening;
  }

  static async start(extra: Partial<Pick<ApiServerDeps, 'nodes' | 'authorizer' | 'tokens' | 'audit' | 'frontProxy'>> & { readonly store?: Store; readonly clock?: Clock } = {}): Promise<TestServer> {
    const caKey = makeKey();
    const certPem = makeCaCertificate(caKey, 'test-ca', Date.now(), 10 * dayMs);
    const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) };
    const serving = issue(ca, { commonName: 'kube-apiserver' }, 'server', dayMs);
    const store = extra.store ?? await memoryStore();
    const port = await freePort();
    const users = new Map<string, User>([['secret-token', { name: 'token-admin', groups: ['system:masters'] }], ['weak-token', { name: 'jane', groups: ['dev'] }]]);
    const serviceAccountKey = makeKey();
    const make = (): ApiServer => new ApiServer({ clock: systemClock, log: silentLog, kinds, tokens: users, ...extra, store }, {
      port, bindAddress: '127.0.0.1', advertiseAddress: '192.0.2.1', tlsKey: serving.key, tlsCertificate: serving.cert, clientCa: certPem,
      serviceCidr: '10.43.0.0/16', podCidr: '10.42.0.0/16', clusterDns: '10.43.0.10', notReadyTolerationSeconds: 300, unreachableTolerationSeconds: 300, version: '0.0.0',
      serviceAccountKey, serviceAccountIssuer: 'https://kubernetes.default.svc.cluster.local',
    });
    const server = new TestServer(make, store, port, ca, serving);
    await server.api.listening;
    return server;
  }

  /** A client certificate; `lifetimeMs` may be negative for one that has ended. */
  identity(commonName: string, organizations: string[] = [], lifetimeMs = dayMs): Identity {
    return issue(this.ca, { commonName, organizations }, 'client', lifetimeMs);
  }

  /** One HTTP/1.1 request. */
  async ask(path: string, options: Ask = {}): Promise<Answer> {
    const { identity = this.admin, body } = options;
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1', port: this.port, path, method: options.method ?? 'GET', ca: this.caPem, servername: 'localhost', agent: this.#agent,
        ...(identity !== 'none' && { key: identity.key, cert: identity.cert }), ...(options.signal && { signal: options.signal }),
        headers: { ...(text !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }), ...options.headers },
      }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => { chunks.push(chunk); });
        response.on('error', reject);
        response.on('end', () => { resolve(answer(response.statusCode ?? 0, response.headers, Buffer.concat(chunks).toString())); });
      });
      request.on('error', reject);
      request.end(text);
    });
  }

  /** The lines of a stream as they come, over HTTP/2. */
  async * lines(path: string, signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    const session = this.http2();
    const stream = session.request({ ':path': path });
    const end = (): void => { session.destroy(); };
    signal.addEventListener('abort', end, { once: true });
    let rest = '';
    try {
      stream.setEncoding('utf8');
      for await (const chunk of stream as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line !== '') yield JSON.parse(line) as Record<string, unknown>;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      end();
    }
  }

  http2(identity: Identity = this.admin): http2.ClientHttp2Session {
    const session = http2.connect(`https://127.0.0.1:${String(this.port)}`, { ca: this.caPem, servername: 'localhost', ...identity });
    session.on('error', () => undefined);
    return session;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#agent.destroy();
    await this.store.close();
  }
}

export async function memoryStore(): Promise<Store> {
  const rows = new MemoryRows();
  return openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows) }, { dir: 'memory', volatilePrefixes: ['core/events/', 'coordination.k8s.io/leases/'] });
}

function issue(ca: CertificateAuthority, subject: { commonName: string; organizations?: string[] }, usage: 'server' | 'client', lifetimeMs: number): Identity {
  const key = makeKey();
  const cert = issueCertificate(ca, {
    subject, usage, publicKey: createPublicKey(key), nowMs: Date.now(), lifetimeMs, ...(usage === 'server' && { names: ['localhost', '127.0.0.1', agentServerName] }),
  });
  return { key, cert };
}

function answer(status: number, headers: Answer['headers'], text: string): Answer {
  return { status, headers, text, json: <T>() => JSON.parse(text) as T };
}
