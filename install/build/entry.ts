import { getAssetKeys, getRawAsset } from 'node:sea';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { chunkLoader, type Code } from './chunks.ts';
import { cacheDirectory, unpack } from './unpack.ts';

/**
 * Where the single executable begins. The same settings as the `cleat` of a checkout makes, which says why: a server
 * starts itself again with its settings of malloc, for these are read before anything else.
 */
const serverEnv = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '16384' };
/**
 * `options` are read at the start, `flags` may be set later: but then each is set alone, without what V8 would set with it.
 * Interpreted expressions that it still means to compile are compiled each time that they are used, at 0.2 ms each.
 */
const controlPlane = { options: '--max-semi-space-size=2', flags: ['--no-turbofan', '--no-maglev', '--no-sparkplug'] };
const servers: Readonly<Record<string, { readonly options: string; readonly flags: readonly string[] }>> = {
  up: controlPlane,
  controlplane: controlPlane,
  agent: { options: '--max-semi-space-size=1 --v8-pool-size=1', flags: ['--no-turbofan', '--no-maglev', '--no-sparkplug', '--no-regexp-tier-up', '--regexp-interpret-all', '--no-parallel-scavenge', '--optimize-for-size'] },
};

/** What the executable carries (build.ts). The bytes are pages of its own file, which are read when they are looked at. */
const carried = (name: string): Buffer => Buffer.from(getRawAsset(name) as ArrayBuffer);

let folder: string | undefined;
/** The URL of a module of ours, as far as files beside it are meant: these are unpacked when the first is asked for. */
globalThis.cleatModuleUrl = (path) => {
  folder ??= unpack({ names: namesOfFiles, read: (name) => carried(`file/${name}`) }, process.env.CLEAT_ASSETS_NAME ?? '', cacheDirectory(process.env));
  return pathToFileURL(join(folder, path)).href;
};

const namesOfFiles = (): string[] => getAssetKeys().flatMap((key) => (key.startsWith('file/') ? [key.slice('file/'.length)] : []));

const verb = process.argv[2] ?? '';
const server = Object.hasOwn(servers, verb) ? servers[verb] : undefined;
if (server && process.env['NODE_OPTIONS'] !== server.options) {
  process.removeAllListeners('warning');
  process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(2)], { ...process.env, ...serverEnv, NODE_OPTIONS: server.options } as Record<string, string>);
}
// Meant for this process, not for what it starts.
if (server) delete process.env['NODE_OPTIONS'];
for (const flag of server?.flags ?? []) setFlagsFromString(flag);

const load = chunkLoader({
  index: JSON.parse(carried('chunks/index').toString('latin1')) as Code['index'], code: carried('chunks/code'),
  // V8 takes what was compiled with the same flags alone: a server's are others, and it is to be small, not fast to start.
  ...(!server && { compiled: carried('chunks/compiled') }),
});
if (verb === 'internal:dial') {
  process.argv.splice(2, 1);
  load('dial.js');
} else {
  load('cli.js');
}

declare global {
  var cleatModuleUrl: (path: string) => string;
}
