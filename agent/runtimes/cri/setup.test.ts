import { expect, it } from 'vitest';
import { setupOf } from './setup.ts';

it('reads what containerd tells of its configuration, and takes nothing else for it', () => {
  expect(setupOf(JSON.stringify({ sandboxImage: 'registry.k8s.io/pause:3.6', cni: { confDir: '/etc/cni/net.d', binDir: '/opt/cni/bin' } })))
    .toEqual({ sandboxImage: 'registry.k8s.io/pause:3.6', cniConfDir: '/etc/cni/net.d', cniBinDir: '/opt/cni/bin' });
  for (const other of [undefined, '', '{', '[]', '{"cni":7,"sandboxImage":1}', '"x"']) expect(setupOf(other)).toEqual({});
});
