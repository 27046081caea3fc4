import { connect, createServer, type AddressInfo } from 'node:net';
import { percentile } from './row.ts';

/**
 * `node ingress-process.ts serve`: a web server that answers every request with the same few bytes; prints its port.
 * `node ingress-process.ts load PORT HOST CONNECTIONS MS`: GETs over connections that are kept, one at a time on each, for that long;
 * prints a `LoadResult` as JSON.
 */
export interface LoadResult {
  readonly perSecond: number;
  /** Milliseconds from a request to its whole answer. */
  readonly p99: number;
  readonly asked: number;
  /** Requests that got another answer than 200, or none. */
  readonly failed: number;
}

const end = '\r\n\r\n';

/** Calls with each message of HTTP/1.1 that has come in whole: its head. */
function messages(use: (head: string) => void): (chunk: Buffer) => void {
  let text = '';
  return (chunk) => {
    text += chunk.toString('latin1');
    for (let at = text.indexOf(end); at >= 0; at = text.indexOf(end)) {
      const head = text.slice(0, at);
      const length = at + end.length + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (text.length < length) return;
      text = text.slice(length);
      use(head);
    }
  };
}

function serve(): void {
  const answer = `HTTP/1.1 200 OK\r\ncontent-length: 5${end}hello`;
  const server = createServer((socket) => {
    socket.setNoDelay(true).on('data', messages(() => { socket.write(answer); })).on('error', () => { socket.destroy(); });
  }).listen(0, '127.0.0.1', () => { console.log((server.address() as AddressInfo).port); });
}

async function load(port: number, host: string, connections: number, forMs: number): Promise<LoadResult> {
  const request = `GET /bench HTTP/1.1\r\nhost: ${host}${end}`;
  const times: number[] = [];
  let failed = 0;
  const stopAt = performance.now() + forMs;
  /** Until the server ends the connection, as it may after an answer that says so. */
  const use = (): Promise<void> => new Promise((resolve) => {
    let sentAt = 0;
    let waiting = false;
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const ask = (): void => { sentAt = performance.now(); waiting = true; socket.write(request); };
    socket.on('connect', ask).on('error', () => undefined).on('close', () => {
      if (waiting || sentAt === 0) failed++;
      resolve();
    }).on('data', messages((head) => {
      waiting = false;
      const now = performance.now();
      times.push(now - sentAt);
      if (!head.startsWith('HTTP/1.1 200 ')) failed++;
      if (now >= stopAt || /connection: close/i.test(head)) socket.end();
      else ask();
    }));
  });
  await Promise.all(Array.from({ length: connections }, async () => { while (performance.now() < stopAt) await use(); }));
  return { perSecond: Math.round(times.length / (forMs / 1000)), p99: Number(percentile(times, 99).toFixed(2)), asked: times.length, failed };
}

const [mode = '', port = '', host = '', connections = '', ms = ''] = process.argv.slice(2);
if (mode === 'serve') serve();
else console.log(JSON.stringify(await load(Number(port), host, Number(connections), Number(ms))));
