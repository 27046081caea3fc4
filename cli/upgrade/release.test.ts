import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { openRelease } from './release.ts';

const sum = (text: string): string => createHash('sha256').update(text).digest('hex');
const files: Readonly<Record<string, string>> = { '/VERSION': '1.2.3\n', '/SHA256SUMS': `${sum('1.2.3\n')}  VERSION\n${sum('x')}  cleat-linux-x64.gz\n` };

it('comes from a folder, by https, or from this host; never in the clear from another one', async () => {
  for (const url of ['http://releases.example.com/cleat', 'HTTP://192.0.2.1/', 'http://127.0.0.1.example.com/']) {
    await expect(openRelease(url)).rejects.toMatchObject({ code: 'BadRequest', message: expect.stringMatching(/is not encrypted.*https:.*--to DIR/) as string });
  }
  const server = createServer((request, response) => { response.end(files[request.url ?? '']); }).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    expect((await openRelease(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`)).version).toBe('1.2.3');
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
