import { connect, type ClientHttp2Stream, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { onAbort } from '#common/lifecycle.ts';
import type { CheckResult } from './types.ts';

/** What is longer is no answer to this question. */
const maxAnswerBytes = 1024;
const serving = 1;
/** By number. Source: grpc.health.v1.HealthCheckResponse.ServingStatus. */
const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** By number. Source: grpc/doc/statuscodes.md. */
const codes = ['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'] as const;
/** What an answer that is not gRPC's stands for. Source: grpc/doc/http-grpc-status-mapping.md. */
const codeOfHttp: Readonly<Record<number, typeof codes[number]>> = { 400: 'INTERNAL', 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'UNIMPLEMENTED', 429: 'UNAVAILABLE', 502: 'UNAVAILABLE', 503: 'UNAVAILABLE', 504: 'UNAVAILABLE' };

interface Answer { readonly code: string; readonly message: Buffer }

/**
 * One call of grpc.health.v1.Health/Check on a connection of its own, as kubelet makes it: that the program accepts one is
 * part of the question. Spoken without the library, whose channel for a single call costs several times the CPU.
 */
export async function grpcCheck(ip: string, port: number, service: string, signal: AbortSignal): Promise<CheckResult> {
  const authority = `${ip.includes(':') ? `[${ip}]` : ip}:${String(port)}`;
  const request = framed(encodeRequest(service));
  const session = connect(`http://${authority}`);
  const forget = onAbort(signal, () => { session.destroy(); });
  try {
    const { code, message } = await new Promise<Answer>((resolve) => {
      const gone = (): void => { resolve({ code: 'UNAVAILABLE', message: Buffer.alloc(0) }); };
      session.on('error', gone).on('close', gone);
      if (session.destroyed) { gone(); return; }
      const stream = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', 'user-agent': 'kube-probe/cleat', te: 'trailers' });
      read(stream, resolve);
      stream.end(request);
    });
    if (signal.aborted) return { ok: false, output: 'timeout: the gRPC health service did not answer' };
    // Without addresses and times, so that each failure reads like the one before and is counted as the same Event.
    if (code !== 'OK') return { ok: false, output: `the gRPC health service of port ${String(port)} cannot be asked: ${code}` };
    const status = decodeStatus(message);
    return { ok: status === serving, output: status === serving ? '' : `service unhealthy (responded with "${statuses[status] ?? String(status)}")` };
  } finally {
    forget();
    session.destroy();
  }
}

function read(stream: ClientHttp2Stream, resolve: (answer: Answer) => void): void {
  let received = Buffer.alloc(0);
  let head: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on('response', (headers) => { head = headers; });
  stream.on('trailers', (headers) => { trailers = headers; });
  stream.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length > maxAnswerBytes) resolve({ code: 'RESOURCE_EXHAUSTED', message: received });
  });
  stream.on('error', () => { resolve({ code: 'UNAVAILABLE', message: received }); });
  stream.on('end', () => {
    const told = trailers['grpc-status'] ?? head['grpc-status'];
    const http = head[':status'] ?? 0;
    // 1 byte whether it is compressed, which nobody asked for, and 4 of its length.
    resolve({ code: told === undefined ? codeOfHttp[http] ?? 'UNKNOWN' : codes[Number(told)] ?? 'UNKNOWN', message: received.subarray(5) });
  });
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service);
  return text.length === 0 ? text : Buffer.concat([Buffer.from([0x0a, ...varint(text.length)]), text]);
}

/** Seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value % 0x80 + 0x80, ...varint(Math.floor(value / 0x80))];
}

function decodeStatus(message: Buffer): number {
  return message[0] === 0x08 ? message[1] ?? 0 : 0;
}
