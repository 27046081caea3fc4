import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { parse } from 'yaml';
import type { KubeObject } from '#api/meta/object.ts';

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly 'certificate-authority-data': string } }[];
  readonly users: readonly { readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string } }[];
}

/** `status` 0: no answer came, and what became of the request is not known. */
export interface Answer { readonly status: number; readonly body: KubeObject & { readonly message?: string; readonly reason?: string; readonly items?: readonly KubeObject[] } }

export interface WatchFrame { readonly type: string; readonly object: KubeObject & { readonly code?: number } }

/** The API as the administrator, request by request: what a test needs to know what was acknowledged and what was not. */
export class RestClient {
  readonly #agent: Agent;
  readonly #host: string;

  /** `kubeconfig` as a path of this machine; `host` is dialled in place of the loopback address in it. */
  constructor(kubeconfig: string, host: string, maxSockets = 32) {
    const config = parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
    const [cluster, user] = [config.clusters[0]?.cluster, config.users[0]?.user];
    const decode = (text = ''): string => Buffer.from(text, 'base64').toString();
    this.#agent = new Agent({
      keepAlive: true, maxSockets, ca: decode(cluster?.['certificate-authority-data']), cert: decode(user?.['client-certificate-data']), key: decode(user?.['client-key-data']),
    });
    this.#host = host;
  }

  /** Never rejects. */
  send(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve) => {
      const lost = (error: Error): void => { resolve({ status: 0, body: { message: error.message } }); };
      const call = request({ host: this.#host, port: 6443, agent: this.#agent, method, path, headers: text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) } }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => { chunks.push(chunk); });
        response.on('error', lost);
        response.on('end', () => { resolve({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(chunks).toString()) }); });
      });
      call.on('error', lost);
      call.end(text);
    });
  }

  /** Frames of a watch until it ends or breaks; the answer's status when it is not 200. */
  async * watch(path: string, signal: AbortSignal): AsyncGenerator<WatchFrame, number, undefined> {
    const response = await new Promise<IncomingMessage | undefined>((resolve) => {
      const call = request({ host: this.#host, port: 6443, agent: this.#agent, path, signal }, resolve);
      call.on('error', () => { resolve(undefined); });
      call.end();
    });
    if (!response) return 0;
    response.on('error', () => undefined);
    if (response.statusCode !== 200) {
      response.resume();
      return response.statusCode ?? 0;
    }
    const lines = createInterface({ input: response });
    try {
      for await (const line of lines) yield JSON.parse(line) as WatchFrame;
    } catch { /* broken off: what came is complete up to there */ }
    return 200;
  }

  close(): void {
    this.#agent.destroy();
  }
}

function parsed(text: string): Answer['body'] {
  try {
    return JSON.parse(text) as Answer['body'];
  } catch {
    return { message: text };
  }
}
