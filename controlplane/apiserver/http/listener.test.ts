import * as grpc from '@grpc/grpc-js';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { request as plainRequest, type IncomingMessage } from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { Listener } from './listener.ts';

const hourMs = 3_600_000;
const caKey = makeKey();
const caPem = makeCaCertificate(caKey, 'test-ca', Date.now(), hourMs);
const ca = { certPem: caPem, certificate: new X509Certificate(caPem), key: createPrivateKey(caKey) };

function issue(commonName: string, usage: 'server' | 'client', lifetimeMs = hourMs): { key: string; cert: string } {
  const key = makeKey();
  const subject = { commonName, organizations: ['system:nodes'] };
  return { key, cert: issueCertificate(ca, { subject, usage, publicKey: createPublicKey(key), names: ['localhost', 'agents.cleat.internal'], nowMs: Date.now(), lifetimeMs }) };
}

const serving = issue('server', 'server');
const listener = new Listener({
  log: silentLog,
  handle: (request, response) => { response.setHeader('content-type', 'text/plain'); response.end(`http ${request.httpVersion}`); },
}, {
  port: 0, bindAddress: '127.0.0.1', tlsKey: serving.key, tlsCertificate: serving.cert, clientCa: caPem, maxHeaderBytes: 16 << 10,
  maxConnections: 100, handshakeTimeoutMs: 5000, requestTimeoutMs: 5000, idleTimeoutMs: 5000, agentServerName: 'agents.cleat.internal',
});

/** A unary call that answers with what the server knows of its peer. */
const echo = {
  who: {
    path: '/test.Echo/Who', requestStream: false, responseStream: false,
    requestSerialize: (text: string) => Buffer.from(text), requestDeserialize: (bytes: Buffer) => bytes.toString(),
    responseSerialize: (text: string) => Buffer.from(text), responseDeserialize: (bytes: Buffer) => bytes.toString(),
  },
} as const;

const grpcServer = new grpc.Server();
const sockets = new Map<string, TLSSocket>();

beforeAll(async () => {
  const injector = grpcServer.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  grpcServer.addService(echo, {
    who: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => {
      const valid = call.getAuthContext()?.sslPeerCertificate;
      const known = sockets.get(call.getPeer())?.getPeerCertificate();
      done(null, JSON.stringify({ valid: valid?.subject.CN, known: known?.subject?.CN }));
    },
  });
  listener.onAgentConnection((socket) => {
    sockets.set(`${socket.remoteAddress ?? ''}:${String(socket.remotePort)}`, socket);
    injector.injectConnection(socket);
  });
  await listener.listen();
});

afterAll(async () => {
  grpcServer.forceShutdown();
  await listener.close();
});

async function who(identity?: { key: string; cert: string }): Promise<unknown> {
  const credentials = identity
    ? grpc.credentials.createSsl(Buffer.from(caPem), Buffer.from(identity.key), Buffer.from(identity.cert))
    : grpc.credentials.createSsl(Buffer.from(caPem));
  const client = new grpc.Client(`127.0.0.1:${String(listener.port)}`, credentials, { 'grpc.ssl_target_name_override': 'agents.cleat.internal', 'grpc.default_authority': 'agents.cleat.internal' });
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(echo.who.path, echo.who.requestSerialize, echo.who.responseDeserialize, 'hi', (error, answer) => { if (error) reject(error); else resolve(JSON.parse(answer ?? 'null')); });
    });
  } finally {
    client.close();
  }
}

describe('one TLS port', () => {
  it('serves HTTP/2 and HTTP/1.1', async () => {
    const session = http2.connect(`https://127.0.0.1:${String(listener.port)}`, { ca: caPem, servername: 'localhost' });
    const stream = session.request({ ':path': '/' });
    stream.setEncoding('utf8');
    let text = '';
    for await (const chunk of stream as AsyncIterable<string>) text += chunk;
    session.close();
    expect(text).toBe('http 2.0');

    const request = https.get({ host: '127.0.0.1', port: listener.port, ca: caPem, servername: 'localhost', agent: false });
    const [response] = await once(request, 'response') as [IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    expect(body).toBe('http 1.1');
  });

  it('hands agents to gRPC, which sees who they are', async () => {
    expect(await who(issue('system:node:one', 'client'))).toEqual({ valid: 'system:node:one', known: 'system:node:one' });
  });

  it('lets an agent without a certificate enrol', async () => {
    expect(await who()).toEqual({});
  });

  it('shows an expired certificate only on the connection itself, so that it can be renewed', async () => {
    expect(await who(issue('system:node:old', 'client', -1000))).toEqual({ known: 'system:node:old' });
  });

  it.each(['GET', 'POST'])('tells who sends a plain HTTP %s what is wrong', async (method) => {
    const [response] = await once(plainRequest({ host: '127.0.0.1', port: listener.port, path: '/api', method, agent: false }).end(), 'response') as [IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    expect([response.statusCode, body]).toEqual([400, 'Client sent an HTTP request to an HTTPS server.\n']);
  });

  it('says what to do when the port is taken', async () => {
    const second = new Listener({ log: silentLog, handle: () => undefined }, {
      port: listener.port, bindAddress: '127.0.0.1', tlsKey: serving.key, tlsCertificate: serving.cert, clientCa: caPem, maxHeaderBytes: 16 << 10,
      maxConnections: 100, handshakeTimeoutMs: 5000, requestTimeoutMs: 5000, idleTimeoutMs: 5000, agentServerName: 'agents.cleat.internal',
    });
    await expect(second.listen()).rejects.toThrow(/another process.*--port/);
  });
});
