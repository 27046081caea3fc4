import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { canMountRecursivelyReadOnly, kernelCan } from '../recursive-read-only.ts';
import { containerdConfig } from './config.ts';
import { configuredHandlers, handlersIn, installedHandlers } from './handlers.ts';
import { containerdPaths } from './paths.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-handlers-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });
async function program(name: string, script: string): Promise<string> {
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, name), 0o755);
  return join(dir, name);
}

it('finds handlers in a configuration of either version, by any way to write their names', () => {
  const text = `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun] # the small one
  runtime_type = "io.containerd.runc.v2" # as always
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
    BinaryName = "/opt/a \\"b\\"/crun"
    SystemdCgroup = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes."my.runtime"]
  runtime_type = "io.containerd.runc.v1"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'wasm']
  runtime_type = 'io.containerd.wasmtime.v1'
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.half]
[plugins."io.containerd.grpc.v1.cri".registry]
  runtime_type = "none"`;
  expect([...handlersIn(text)]).toEqual([
    ['crun', { type: 'io.containerd.runc.v2', binary: '/opt/a "b"/crun' }], ['my.runtime', { type: 'io.containerd.runc.v2' }], ['wasm', { type: 'io.containerd.wasmtime.v1' }],
  ]);
});

it('takes what is installed for what can be asked for, and writes it down for a containerd of its own', async () => {
  const crun = await program('crun', '');
  await program('containerd-shim-kata-v2', '');
  const handlers = await installedHandlers(dir);
  expect([handlers.get('crun'), handlers.get('kata')]).toEqual([{ type: 'io.containerd.runc.v2', binary: crun }, { type: 'io.containerd.kata.v2' }]);
  const path = join(dir, 'config.toml');
  await writeFile(path, containerdConfig({ paths: containerdPaths(dir), sandboxImage: 'pause:1', cniBinDir: '/cni', snapshotter: 'native', handlers, mayLowerOomScore: true }));
  expect(await configuredHandlers(path)).toEqual(new Map([['runc', { type: 'io.containerd.runc.v2' }], ...handlers]));
  expect(await configuredHandlers(join(dir, 'none'))).toEqual(new Map());
});

it('believes in recursive read-only mounts only where the kernel and the runtime have them', async () => {
  expect(['5.11.0', '4.19.0-1', '5.12', '6.1.0-rpi'].map((version) => kernelCan(version))).toEqual([false, false, true, true]);
  const can = async (script: string): Promise<boolean> => canMountRecursivelyReadOnly(await program('runc', script));
  expect(await can(`echo '{"mountOptions":["ro","rro"]}'`)).toBe(kernelCan());
  for (const other of [`echo '{"mountOptions":["ro"]}'`, 'echo no such command; exit 1', 'echo {', "echo '{}'"]) expect(await can(other)).toBe(false);
  expect(await canMountRecursivelyReadOnly(join(dir, 'absent'))).toBe(false);
});
