/**
 * Asks a URL over and over until standard input ends or the process is signalled, each time over a new connection, and
 * prints {"ok", "failed", "errors", "bodies"} as JSON: how often which answer came.
 *
 *   node http-load.ts URL PARALLEL
 */
import { get } from 'node:http';

const [url = '', parallel = '4'] = process.argv.slice(2);
const result = { ok: 0, failed: 0, errors: {} as Record<string, number>, bodies: {} as Record<string, number> };
let stopping = false;

function ask(): Promise<void> {
  return new Promise((resolve) => {
    const fail = (reason: string): void => {
      result.failed++;
      result.errors[reason] = (result.errors[reason] ?? 0) + 1;
      resolve();
    };
    const sent = get(url, { agent: false, timeout: 5000 }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => { body += chunk; });
      answer.on('error', (error: NodeJS.ErrnoException) => { fail(error.code ?? error.message); });
      answer.on('end', () => {
        if (answer.statusCode !== 200) { fail(`HTTP ${String(answer.statusCode)}`); return; }
        result.ok++;
        const name = body.trim().split(' ')[2] ?? body;
        result.bodies[name] = (result.bodies[name] ?? 0) + 1;
        resolve();
      });
    });
    sent.on('timeout', () => { sent.destroy(new Error('timeout')); });
    sent.on('error', (error: NodeJS.ErrnoException) => { fail(error.code ?? error.message); });
  });
}

async function worker(): Promise<void> {
  while (!stopping) await ask();
}

process.on('SIGTERM', () => { stopping = true; });
console.log('asking');
await Promise.all(Array.from({ length: Number(parallel) }, worker));
console.log(JSON.stringify(result));
