import { randomBytes } from 'node:crypto';
import { writeFile, mkdtemp, rm, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { partsOf, rangeOf } from '#common/archive-parts.ts';
import { StatusError } from '#common/errors.ts';
import { imageArchive } from '#install/images.ts';
import type { RestClient } from '../../client.ts';
import type { Io } from '../../types.ts';
import type { ImageNode } from '../nodes.ts';
import { pushBlobs, type PushSource } from './push.ts';

const io = { interrupted: new AbortController().signal } as unknown as Io;
const progress = { sent: () => undefined, has: () => undefined, say: () => undefined };
const node = (name: string): ImageNode => ({ name, architecture: 'amd64', isReady: true, addresses: ['192.0.2.1'], site: '' });

it('leaves nodes to the whole archive that know no push by blobs, and names those that cannot be asked', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-push-'));
  try {
    const bytes = imageArchive({ name: 'docker.io/library/app:1', architecture: 'amd64', files: [{ path: 'x', type: 'file', mode: 0o644, data: randomBytes(50_000) }], entrypoint: ['/x'] });
    await writeFile(join(dir, 'a.tar'), bytes);
    const file = await open(join(dir, 'a.tar'));
    const parts = await partsOf(file, bytes.length, io.interrupted);
    const source: PushSource = { parts, read: (digest) => rangeOf(file, parts.offsets.get(digest) ?? 0, 1) };
    const refusals: Readonly<Record<string, StatusError>> = {
      'old-agent': new StatusError('BadRequest', 'a stream request that is not what the edge contract says'), 'old-server': new StatusError('NotFound', 'the server could not find the requested resource'), 'gone': new StatusError('ServiceUnavailable', 'node gone is not connected'),
    };
    const client = { upgrade: (path: string) => Promise.reject(refusals[path.split('/')[4] ?? ''] ?? new Error(path)) } as unknown as RestClient;
    const outcomes = await pushBlobs(client, source, Object.keys(refusals).map(node), progress, io);
    expect(outcomes.map(({ node: name, whole, failure }) => [name, whole, failure])).toEqual([
      ['old-agent', 'its agent, or the control plane, is of an older version', undefined], ['old-server', 'its agent, or the control plane, is of an older version', undefined], ['gone', undefined, refusals['gone']],
    ]);
    await expect(pushBlobs(client, { from: node('old-agent'), image: 'app:1' }, [node('gone')], progress, io)).rejects.toMatchObject({ code: 'BadRequest' });
    await file.close();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
