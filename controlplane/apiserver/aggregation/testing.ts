import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { issueCertificate, makeCaCertificate, makeKey, type CertificateAuthority } from '#common/pki/certificate.ts';
import type { FrontProxy } from './front-proxy.ts';

const dayMs = 86_400_000;

export interface Seen { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers']; readonly client: string | undefined }

export function testCa(name: string): CertificateAuthority {
  const keyPem = makeKey();
  const certPem = makeCaCertificate(keyPem, name, Date.now(), dayMs);
  return { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(keyPem) };
}

export function testFrontProxy(): FrontProxy {
  const ca = testCa('front-proxy-ca');
  const keyPem = makeKey();
  const certPem = issueCertificate(ca, { subject: { commonName: 'front-proxy-client' }, usage: 'client', publicKey: createPublicKey(createPrivateKey(keyPem)), nowMs: Date.now(), lifetimeMs: dayMs });
  return { ca: ca.certPem, client: () => Promise.resolve({ certPem, keyPem }) };
}

/** For tests: a server of group version wardle.example.com/v1 on loopback, with a certificate for `serverName`, that believes who `frontProxy` names. */
export class TestApiService {
  readonly seen: Seen[] = [];
  /** Bytes that `/big` has taken and given. */
  readonly bytes = { taken: 0, given: 0 };
  /** By path: answers beside those of wardle.example.com/v1. */
  readonly documents = new Map<string, unknown>();
  /** Answers everything with this status, when set. */
  refuseWith: number | undefined;
  readonly #server: https.Server;
  readonly caBundle: string;

  private constructor(server: https.Server, ca: string) {
    this.#server = server;
    this.caBundle = Buffer.from(ca).toString('base64');
    server.on('request', (incoming, response) => { this.#answer(incoming, response); });
    server.on('upgrade', (incoming, socket) => {
      this.#note(incoming);
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
  }

  static async start(serverName: string, frontProxy: FrontProxy): Promise<TestApiService> {
    const ca = testCa('wardle-ca');
    const key = makeKey();
    const cert = issueCertificate(ca, { subject: { commonName: 'wardle' }, usage: 'server', publicKey: createPublicKey(createPrivateKey(key)), nowMs: Date.now(), lifetimeMs: dayMs, names: [serverName] });
    const server = https.createServer({ key, cert, ca: frontProxy.ca, requestCert: true });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return new TestApiService(server, ca.certPem);
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  #note(incoming: IncomingMessage): void {
    const certificate = (incoming.socket as TLSSocket).getPeerCertificate();
    this.seen.push({ method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers, client: Object.keys(certificate).length > 0 ? String(certificate.subject.CN) : undefined });
  }

  #answer(incoming: IncomingMessage, response: ServerResponse): void {
    this.#note(incoming);
    const json = (value: unknown, status = 200): void => { response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value)); };
    const [path = ''] = (incoming.url ?? '').split('?');
    if (this.refuseWith !== undefined) return json({}, this.refuseWith);
    if (this.documents.has(path)) return json(this.documents.get(path));
    const root = '/apis/wardle.example.com/v1';
    switch (path) {
      case root: return json({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'wardle.example.com/v1', resources: [
        { name: 'flunders', singularName: 'flunder', namespaced: true, kind: 'Flunder', verbs: ['create', 'get', 'list', 'watch'] }, { name: 'flunders/status', singularName: '', namespaced: true, kind: 'Flunder', verbs: ['get'] },
      ] });
      case '/openapi/v3/apis/wardle.example.com/v1': return json({ openapi: '3.0.0', info: { title: 'wardle', version: '1' }, paths: { [`${root}/flunders`]: {} }, components: { schemas: {} } });
      case '/openapi/v2': return json(swagger);
      case `${root}/flunders`: {
        if (!(incoming.url ?? '').includes('watch=')) return json({ kind: 'FlunderList', apiVersion: 'wardle.example.com/v1', metadata: { resourceVersion: '1' }, items: [] });
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"type":"ADDED","object":{}}\n');
        return;
      }
      case `${root}/big`: this.#big(incoming, response); return;
      default: return json({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 }, 404);
    }
  }

  /** Takes a body of any size and counts it; gives one without end to who asks for it. */
  #big(incoming: IncomingMessage, response: ServerResponse): void {
    if (incoming.method === 'GET') {
      const give = (): void => { do this.bytes.given += 1 << 16; while (response.write(Buffer.alloc(1 << 16, 120))); };
      response.writeHead(200, { 'content-type': 'text/plain' }).on('drain', give);
      give();
      return;
    }
    incoming.on('data', (chunk: Buffer) => { this.bytes.taken += chunk.length; });
    incoming.on('end', () => { response.writeHead(201).end(String(this.bytes.taken)); });
  }
}

const swagger = {
  swagger: '2.0', info: { title: 'wardle', version: '1' },
  paths: { '/apis/wardle.example.com/v1/flunders': { get: { responses: { 200: { description: 'OK', schema: { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta' } } } } }, '/apis/': { get: {} } },
  definitions: { 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta': { type: 'object', description: 'an older one' }, unused: { type: 'object' } },
};
