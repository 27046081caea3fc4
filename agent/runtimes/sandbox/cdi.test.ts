import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerConfig } from '../test-configs.ts';
import { withCdiDevices, withoutHooks } from './cdi.ts';

describe('CDI devices', () => {
  let dir: string;
  let folders: string[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cleat-cdi-'));
    folders = [join(dir, 'etc'), join(dir, 'run'), join(dir, 'absent')];
    await mkdir(join(dir, 'etc'));
    await mkdir(join(dir, 'run'));
    await writeFile(join(dir, 'etc/gpu.yaml'), `
cdiVersion: 0.6.0
kind: vendor.com/gpu
containerEdits:
  env: [COMMON=1, OWN=spec]
  additionalGids: [44]
  hooks: [{ hookName: createContainer, path: /usr/bin/hook, args: [hook, x], env: [A=b], timeout: 5 }]
devices:
- name: "0"
  containerEdits:
    env: [ZERO=a=b]
    deviceNodes: [{ path: /dev/gpu0, hostPath: /dev/real0, permissions: rw }, { path: /dev/ctl }]
    mounts: [{ hostPath: /lib/a, containerPath: /lib/b, options: [ro, nosuid, nodev, rslave] }]
- name: "1"
`);
    await writeFile(join(dir, 'etc/broken.json'), '{');
  });
  afterEach(async () => { await rm(dir, { recursive: true, force: true }); });
  const config = (...cdiDevices: string[]) => containerConfig('true', { env: [{ name: 'OWN', value: 'pod' }], cdiDevices });

  it('become what their specification says; what is common to them comes once', async () => {
    const { config: resolved, hooks } = await withCdiDevices(config('vendor.com/gpu=0', 'vendor.com/gpu=1'), folders);
    expect(resolved).toMatchObject({
      env: [{ name: 'OWN', value: 'spec' }, { name: 'COMMON', value: '1' }, { name: 'ZERO', value: 'a=b' }],
      devices: [{ hostPath: '/dev/real0', containerPath: '/dev/gpu0', permissions: 'rw' }, { hostPath: '/dev/ctl', containerPath: '/dev/ctl', permissions: 'rwm' }],
      mounts: [{ hostPath: '/lib/a', containerPath: '/lib/b', readOnly: true, propagation: 'HostToContainer' }],
      security: { supplementalGroups: [44] },
    });
    expect(resolved.cdiDevices).toBeUndefined();
    expect(hooks).toEqual([{ hookName: 'createContainer', path: '/usr/bin/hook', args: ['hook', 'x'], env: ['A=b'], timeout: 5 }]);
    await expect(withoutHooks(config('vendor.com/gpu=1'), 'this engine', folders)).rejects.toMatchObject({ code: 'Invalid', message: expect.stringContaining('need the hook /usr/bin/hook, which this engine cannot run') as string });
  });

  it('of a later folder win', async () => {
    await writeFile(join(dir, 'run/gpu.json'), JSON.stringify({ kind: 'vendor.com/gpu', devices: [{ name: '1', containerEdits: { env: ['FROM=run'] } }] }));
    expect((await withCdiDevices(config('vendor.com/gpu=1'), folders)).config.env).toEqual([{ name: 'OWN', value: 'pod' }, { name: 'FROM', value: 'run' }]);
  });

  it.each([
    ['vendor.com/gpu=2', 'NotFound', /unresolvable CDI devices vendor.com\/gpu=2: no specification in .* describes it \(.*broken.json: .*JSON/],
    ['vendor.com/tpu=0', 'NotFound', /unresolvable/],
    ['gpu0', 'Invalid', /"gpu0" is no name of a CDI device/],
  ])('that are not there are said: %s', async (name, code, message) => {
    await expect(withCdiDevices(config(name), folders)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});
