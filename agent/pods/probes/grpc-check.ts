import { Client, credentials, Metadata, status as grpc } from '@grpc/grpc-js';
import type { CheckResult } from './types.ts';

/** One call of grpc.health.v1.Health/Check, encoded by hand: one string in, one enum out. */
export async function grpcCheck(ip: string, port: number, service: string, signal: AbortSignal): Promise<CheckResult> {
  const client = new Client(`${ip.includes(':') ? `[${ip}]` : ip}:${String(port)}`, credentials.createInsecure());
  try {
    return await new Promise((resolve) => {
      const call = client.makeUnaryRequest('/grpc.health.v1.Health/Check', encodeRequest, decodeStatus, service, new Metadata(), (error, status) => {
        // Without addresses and times, so that each failure reads like the one before and is counted as the same Event.
        if (error) resolve({ ok: false, output: signal.aborted ? 'timeout: the gRPC health service did not answer' : `the gRPC health service of port ${String(port)} cannot be asked: ${grpc[error.code]}` });
        else resolve({ ok: status === serving, output: `service unhealthy (responded with ${String(status)})` });
      });
      signal.addEventListener('abort', () => { call.cancel(); }, { once: true });
    });
  } finally {
    client.close();
  }
}

const serving = 1;

function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service);
  if (text.length > 127) throw new RangeError('service name longer than 127 bytes');
  return text.length === 0 ? text : Buffer.concat([Buffer.from([0x0a, text.length]), text]);
}

function decodeStatus(message: Buffer): number {
  return message[0] === 0x08 ? message[1] ?? 0 : 0;
}
