import { expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { withArchitecture } from './errors.ts';
import { setupOf } from './setup.ts';

it('reads what containerd tells of its configuration, and takes nothing else for it', () => {
  expect(setupOf(JSON.stringify({ sandboxImage: 'registry.k8s.io/pause:3.6', cni: { confDir: '/etc/cni/net.d', binDir: '/opt/cni/bin' } })))
    .toEqual({ sandboxImage: 'registry.k8s.io/pause:3.6', cniConfDir: '/etc/cni/net.d', cniBinDir: '/opt/cni/bin' });
  for (const other of [undefined, '', '{', '[]', '{"cni":7,"sandboxImage":1}', '"x"']) expect(setupOf(other)).toEqual({});
});

it('says in words that an image is for another kind of host', () => {
  const other = new StatusError('NotFound', 'failed to pull and unpack image "r/i:1": no match for platform in manifest sha256:abc: not found');
  expect(withArchitecture('r/i:1', other)).toMatchObject({ code: 'Invalid', message: expect.stringMatching(/^wrong architecture: image r\/i:1 has nothing for this host, which is linux\/\w+; build or choose/) as string });
  const absent = new StatusError('NotFound', 'r/i:1: not found');
  expect(withArchitecture('r/i:1', absent)).toBe(absent);
});
