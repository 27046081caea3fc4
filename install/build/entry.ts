import { getAssetKeys, getRawAsset } from 'node:sea';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { cacheDirectory, unpack } from './unpack.ts';

/**
 * Where the single executable begins. The same settings as the `cleat` of a checkout makes, which says why: a server
 * starts itself again with its settings of malloc, for these are read before anything else.
 */
const serverEnv = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '16384', NODE_OPTIONS: '--max-semi-space-size=1' };
const serverFlags: Readonly<Record<string, readonly string[]>> = {
  up: ['--no-turbofan', '--no-maglev', '--no-sparkplug'],
  controlplane: ['--no-turbofan', '--no-maglev', '--no-sparkplug'],
  agent: ['--no-turbofan', '--no-maglev', '--no-sparkplug', '--regexp-interpret-all'],
};

let folder: string | undefined;
/** The URL of a module of ours, as far as files beside it are meant: these are unpacked when the first is asked for. */
globalThis.cleatModuleUrl = (path) => {
  folder ??= unpack({ names: getAssetKeys, read: (name) => new Uint8Array(getRawAsset(name) as ArrayBuffer) }, process.env.CLEAT_ASSETS_NAME ?? '', cacheDirectory(process.env));
  return pathToFileURL(join(folder, path)).href;
};

const verb = process.argv[2] ?? '';
const flags = Object.hasOwn(serverFlags, verb) ? serverFlags[verb] : undefined;
if (flags && process.env['NODE_OPTIONS'] !== serverEnv.NODE_OPTIONS) {
  process.removeAllListeners('warning');
  process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(2)], { ...process.env, ...serverEnv } as Record<string, string>);
}
// Meant for this process, not for what it starts.
if (flags) delete process.env['NODE_OPTIONS'];
for (const flag of flags ?? []) setFlagsFromString(flag);

if (verb === 'internal:dial') {
  process.argv.splice(2, 1);
  void import('#agent/runtimes/sandbox/dial.ts');
} else {
  void import('#cli/main.ts');
}

declare global {
  var cleatModuleUrl: (path: string) => string;
}
