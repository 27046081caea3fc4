import * as https from 'node:https';
import type { ArbitraryRequest } from './arbitrary-requests.ts';

export interface FuzzTarget { readonly port: number; readonly ca: string; readonly key: string; readonly cert: string }

/** Streams are left after this long, or so many bytes. */
const enoughMs = 300;
const enoughBytes = 4 << 20;

export interface Heard { readonly status: number; readonly text: string; readonly whole: boolean }

export class FuzzClient {
  readonly #target: FuzzTarget;
  readonly #agent = new https.Agent({ keepAlive: true, maxSockets: 32 });

  constructor(target: FuzzTarget) {
    this.#target = target;
  }

  ask({ method, path, headers, body }: ArbitraryRequest): Promise<Heard> {
    const { port, ca, key, cert } = this.#target;
    return new Promise((resolve, reject) => {
      const request = https.request({ host: '127.0.0.1', port, servername: 'localhost', ca, key, cert, agent: this.#agent, method, path, headers }, (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        const leave = (): void => { resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), whole: false }); response.destroy(); };
        const timer = setTimeout(leave, enoughMs);
        response.on('data', (chunk: Buffer) => { chunks.push(chunk); if ((size += chunk.length) > enoughBytes) leave(); });
        response.on('error', () => { clearTimeout(timer); });
        response.on('end', () => { clearTimeout(timer); resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), whole: true }); });
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Why an answer is none that a client may get; undefined when it is. */
export function complaint({ method }: ArbitraryRequest, { status, text, whole }: Heard): string | undefined {
  if (status < 400) return undefined;
  if (method === 'HEAD' || !whole) return status === 500 ? 'status 500' : undefined;
  // Health and metrics speak plainly; nobody is ready to answer for nodes here.
  let answer: { kind?: unknown; apiVersion?: unknown; status?: unknown; code?: unknown; reason?: unknown; message?: unknown };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    return `status ${String(status)} without a Status`;
  }
  const wellFormed = answer.kind === 'Status' && answer.apiVersion === 'v1' && answer.status === 'Failure' && answer.code === status && typeof answer.reason === 'string' && typeof answer.message === 'string';
  if (!wellFormed) return `status ${String(status)} with a Status that is not well-formed`;
  if (status < 500) return undefined;
  const expected = (status === 504 && String(answer.message).includes('Too large resource version')) || (status === 503 && /agent|node|connect/i.test(String(answer.message)));
  return expected ? undefined : `status ${String(status)}: ${String(answer.message)}`;
}
