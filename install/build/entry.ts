import { getAssetKeys, getRawAsset } from 'node:sea';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { cacheDirectory, unpack } from './unpack.ts';

/**
 * Where the single executable begins. The same settings as the `cleat` of a checkout makes, which says why: a server
 * starts itself again with its settings of malloc, for these are read before anything else.
 */
const serverEnv = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '16384' };
/** `options` are read at the start, `flags` may be set later. */
const controlPlane = { options: '--max-semi-space-size=2', flags: ['--no-turbofan', '--no-maglev', '--no-sparkplug'] };
const servers: Readonly<Record<string, { readonly options: string; readonly flags: readonly string[] }>> = {
  up: controlPlane,
  controlplane: controlPlane,
  agent: { options: '--max-semi-space-size=1 --v8-pool-size=1', flags: ['--no-turbofan', '--no-maglev', '--no-sparkplug', '--regexp-interpret-all', '--no-parallel-scavenge'] },
};

let folder: string | undefined;
/** The URL of a module of ours, as far as files beside it are meant: these are unpacked when the first is asked for. */
globalThis.cleatModuleUrl = (path) => {
  folder ??= unpack({ names: getAssetKeys, read: (name) => new Uint8Array(getRawAsset(name) as ArrayBuffer) }, process.env.CLEAT_ASSETS_NAME ?? '', cacheDirectory(process.env));
  return pathToFileURL(join(folder, path)).href;
};

const verb = process.argv[2] ?? '';
const server = Object.hasOwn(servers, verb) ? servers[verb] : undefined;
if (server && process.env['NODE_OPTIONS'] !== server.options) {
  process.removeAllListeners('warning');
  process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(2)], { ...process.env, ...serverEnv, NODE_OPTIONS: server.options } as Record<string, string>);
}
// Meant for this process, not for what it starts.
if (server) delete process.env['NODE_OPTIONS'];
for (const flag of server?.flags ?? []) setFlagsFromString(flag);

if (verb === 'internal:dial') {
  process.argv.splice(2, 1);
  void import('#agent/runtimes/sandbox/dial.ts');
} else {
  void import('#cli/main.ts');
}

declare global {
  var cleatModuleUrl: (path: string) => string;
}
