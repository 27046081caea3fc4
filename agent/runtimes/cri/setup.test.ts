import { expect, it } from 'vitest';
import { setupOf } from './setup.ts';

const silent = { runtimeHandlers: [], features: null };

it('reads what containerd tells of its configuration, and takes nothing else for it', () => {
  expect(setupOf(JSON.stringify({ sandboxImage: 'registry.k8s.io/pause:3.6', cni: { confDir: '/etc/cni/net.d', binDir: '/opt/cni/bin' } }), silent))
    .toEqual({ sandboxImage: 'registry.k8s.io/pause:3.6', cniConfDir: '/etc/cni/net.d', cniBinDir: '/opt/cni/bin' });
  for (const other of [undefined, '', '{', '[]', '{"cni":7,"sandboxImage":1}', '"x"']) expect(setupOf(other, silent)).toEqual({});
});

it('believes what a runtime says that it can, and nothing of one that does not say', () => {
  const config = JSON.stringify({ containerd: { runtimes: { runc: {}, crun: {} } } });
  expect(setupOf(config, silent)).toEqual({ handlers: [{ name: 'runc', recursiveReadOnly: false }, { name: 'crun', recursiveReadOnly: false }] });
  const told = { runtimeHandlers: [{ name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: true } }, { name: 'kata', features: null }], features: { supplementalGroupsPolicy: true } };
  expect(setupOf(config, told)).toEqual({ handlers: [{ name: '', recursiveReadOnly: true, userNamespaces: true }, { name: 'kata', recursiveReadOnly: false, userNamespaces: false }], strictGroups: true });
});
