import fc from 'fast-check';
import { connect } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import { ArbitraryRequests, randomOf } from '#test/support/arbitrary-requests.ts';
import { complaint, FuzzClient } from '#test/support/fuzz.ts';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

/** A hundred thousand others by hand: `CLEAT_FUZZ_REQUESTS=100000 CLEAT_FUZZ_SEED=7 npm run unit -- apiserver/arbitrary`. */
const count = Number(process.env['CLEAT_FUZZ_REQUESTS'] ?? 2000);
const seed = Number(process.env['CLEAT_FUZZ_SEED'] ?? 1);
const atOnce = 16;
/** What one write leaves: the object, its event and what informers hold of it. */
const bytesOfWrite = 20_000;

/** Bytes that are held, less those that what was written accounts for. */
function unaccounted(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external - server.store.revision * bytesOfWrite;
}

describe('arbitrary requests', () => {
  it(`are answered with a well-formed Status or a good answer, never with a failure of ours (seed ${String(seed)})`, async () => {
    const requests = new ArbitraryRequests(Object.values(kinds), randomOf(seed));
    const client = new FuzzClient({ port: server.port, ca: server.caPem, ...server.admin });
    const complaints: string[] = [];
    const codes = new Set<number>();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let left = count;
    let atHalf = 0;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (left-- > 0 && complaints.length < 5) {
        if (left === count >> 1) {
          collect();
          atHalf = unaccounted();
        }
        const request = requests.next();
        const heard = await client.ask(request);
        codes.add(heard.status);
        const why = complaint(request, heard);
        if (why !== undefined) complaints.push(`${why}: ${request.method} ${request.path} ${request.headers['content-type'] ?? ''} ${request.body?.toString().slice(0, 2000) ?? ''}`);
      }
    }));
    client.close();
    expect(complaints).toEqual([]);
    collect();
    expect(unaccounted() - atHalf).toBeLessThan(4 << 20);
    // Not only refusals: what is asked must also reach what it is asked of.
    expect([...codes]).toEqual(expect.arrayContaining([200, 201, 400, 404, 405, 406, 415, 422]));
    expect((await server.ask('/readyz')).text).toBe('ok');
  }, 60_000 + count * 20);

  it('that are not even HTTP harm nobody', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.constantFrom('h2', 'http/1.1'), async (bytes, protocol) => {
      const socket = connect({ host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ALPNProtocols: [protocol], ...server.admin });
      const answer = await new Promise<string>((resolve) => {
        let text = '';
        socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); });
        socket.on('error', () => { resolve(text); });
        socket.on('close', () => { resolve(text); });
        socket.end(bytes);
      });
      if (answer.startsWith('HTTP/1.1')) expect(Number(answer.slice(9, 12))).toBeLessThan(500);
    }), { numRuns: 150, seed });
    expect((await server.ask('/readyz')).text).toBe('ok');
  }, 60_000);
});
