import { chmodSync, closeSync, fsyncSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** What the executable carries beside its code, by name. */
export interface Carried {
  names(): readonly string[];
  read(name: string): Uint8Array;
}

/**
 * Unpacks what is carried, once for every version: `folder/NAME` is there whole or not at all, whoever else unpacks at
 * the same time. A folder that somebody else could have written to is not trusted, for native code is loaded from it;
 * then, and when nothing can be written there, this process gets one of its own, which goes with it.
 */
export function unpack(carried: Carried, name: string, cacheDir: string): string {
  const folder = join(cacheDir, name);
  if (isOurs(cacheDir) && isOurs(folder) && isWhole(carried, folder)) return folder;
  try {
    mkdirSync(cacheDir, { recursive: true, mode: 0o755 });
    if (!isOurs(cacheDir)) throw new Error(`${cacheDir} belongs to somebody else`);
    const unfinished = mkdtempSync(join(cacheDir, '.unfinished-'));
    write(carried, unfinished);
    rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
    return folder;
  } catch {
    // Another process may have been faster.
    if (isOurs(cacheDir) && isOurs(folder) && isWhole(carried, folder)) return folder;
    const own = mkdtempSync(join(tmpdir(), 'cleat-'));
    process.once('exit', () => { rmSync(own, { recursive: true, force: true }); });
    write(carried, own);
    return own;
  }
}

/** Where this user keeps what can be made again. */
export function cacheDirectory(env: Readonly<NodeJS.ProcessEnv>): string {
  if (process.getuid?.() === 0) return '/var/cache/cleat';
  return join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'cleat');
}

function write(carried: Carried, folder: string): void {
  chmodSync(folder, 0o755);
  for (const name of carried.names()) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const file = openSync(path, 'wx', 0o644);
    try {
      writeFileSync(file, carried.read(name));
      // What is found whole by its size has to be whole after a power cut, too.
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}

function isOurs(folder: string): boolean {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}

function isWhole(carried: Carried, folder: string): boolean {
  return carried.names().every((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size === carried.read(name).byteLength);
}
