import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { TestServer, type Identity } from '#controlplane/apiserver/test-server.ts';
import { openStore } from '#controlplane/store/open.ts';
import { usageOf } from './process-usage.ts';
import { WatchConnection } from './watch-connection.ts';

/** What the server's process tells: where it listens, and where a floor does: bare answers from memory over the same TLS. */
interface Served { readonly port: number; readonly floorPort: number; readonly ca: string; readonly admin: Identity }

export interface Sent { readonly method?: string; readonly body?: unknown; readonly contentType?: string; readonly accept?: string }

/** The API on LevelDB in a process of its own, with the flags of a control plane. */
export class ApiProcess {
  readonly #served: Served;
  readonly #pid: number;
  readonly stop: () => void;

  private constructor(served: Served, pid: number, stop: () => void) {
    this.#served = served;
    this.#pid = pid;
    this.stop = stop;
  }

  static async start(dir: string): Promise<ApiProcess> {
    const child = fork(import.meta.filename, ['serve', dir], { execArgv: [...process.execArgv, '--max-semi-space-size=2'], env: { ...process.env, MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '16384' } });
    const [served] = await once(child, 'message') as [Served];
    return new ApiProcess(served, child.pid ?? 0, () => { child.kill('SIGKILL'); });
  }

  /** Where to ask: the API, or the floor beside it. */
  port(of: 'api' | 'floor'): number { return of === 'api' ? this.#served.port : this.#served.floorPort; }

  /** Sends one request and reads the answer to its end; its size in bytes, and its body when that is wanted. */
  async ask(agent: https.Agent, of: 'api' | 'floor', path: string, sent: Sent = {}, keep = false): Promise<{ readonly bytes: number; readonly text: string }> {
    const { ca, admin } = this.#served;
    const body = sent.body === undefined ? undefined : JSON.stringify(sent.body);
    return new Promise((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1', port: this.port(of), path, method: sent.method ?? 'GET', agent, ca, servername: 'localhost', ...admin,
        headers: { ...(sent.accept !== undefined && { accept: sent.accept }), ...(body !== undefined && { 'content-type': sent.contentType ?? 'application/json', 'content-length': Buffer.byteLength(body) }) },
      }, (response) => {
        let bytes = 0;
        const kept: Buffer[] = [];
        response.on('data', (chunk: Buffer) => { bytes += chunk.length; if (keep) kept.push(chunk); });
        response.on('end', () => {
          if ((response.statusCode ?? 500) < 300) resolve({ bytes, text: Buffer.concat(kept).toString() });
          else reject(new Error(`${sent.method ?? 'GET'} ${path} answered ${String(response.statusCode)}`));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  watchConnection(of: 'api' | 'floor'): Promise<WatchConnection> {
    const { ca, admin } = this.#served;
    return WatchConnection.open({ host: '127.0.0.1', port: this.port(of), ca, servername: 'localhost', ...admin });
  }

  /** CPU time of the process, all its threads, since it began. */
  cpuMs(): number {
    return usageOf(this.#pid).cpuMs;
  }

  /** What the process holds now, and the most that it held since `forget`, in bytes. */
  async memory(): Promise<{ readonly rss: number; readonly peak: number }> {
    const status = await readFile(`/proc/${String(this.#pid)}/status`, 'utf8');
    const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { rss: of('VmRSS'), peak: of('VmHWM') };
  }

  async forget(): Promise<void> {
    await writeFile(`/proc/${String(this.#pid)}/clear_refs`, '5');
  }
}

/** The child. The floor echoes what is posted, gives `?bytes=N` from memory, and hands what is put to all who wait at /watch. */
async function serve(dir: string): Promise<void> {
  const store = await openStore({ log: silentLog, clock: systemClock }, { dir });
  const server = await TestServer.start({ store });
  const waiting = new Set<http2.Http2ServerResponse>();
  const floor = http2.createSecureServer({ key: server.serving.key, cert: server.serving.cert, allowHTTP1: true }, (request, response) => {
    void (async () => {
      if (request.url === '/watch') {
        waiting.add(response);
        response.once('close', () => waiting.delete(response));
        response.writeHead(200);
        response.write('\n');
        return;
      }
      const chunks: Buffer[] = [];
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      if (request.method === 'PUT') {
        const line = Buffer.concat([body, Buffer.from('\n')]);
        for (const one of waiting) one.write(line);
      }
      response.end(request.method === 'GET' ? Buffer.alloc(Number(new URL(request.url, 'https://floor').searchParams.get('bytes')), 'p') : body);
    })();
  });
  floor.listen(0, '127.0.0.1');
  await once(floor, 'listening');
  const served: Served = { port: server.port, floorPort: (floor.address() as AddressInfo).port, ca: server.caPem, admin: server.admin };
  process.send?.(served);
}

if (process.argv[2] === 'serve' && process.argv[1] === import.meta.filename) await serve(process.argv[3] ?? '');
