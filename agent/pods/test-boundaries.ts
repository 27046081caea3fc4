import childProcess from 'node:child_process';
import type { EventEmitter } from 'node:events';
import fsPromises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/** Something that this process does to its host. */
export interface Effect {
  /** The same in every process that does it: `rename /pods/a_b_c/.files/#`. */
  readonly name: string;
  /** Does the first half of it, if a half is possible. */
  readonly half?: () => Promise<unknown>;
}

/** For tests: is told of every effect, and does it by `proceed`, or dies. */
export type Around = <T>(effect: Effect, proceed: () => Promise<T>) => Promise<T>;

type Operation = (...args: unknown[]) => Promise<unknown>;
type Operations = Record<string, Operation>;

const changing = ['mkdir', 'mkdtemp', 'writeFile', 'copyFile', 'rename', 'rm', 'rmdir', 'symlink', 'unlink', 'chmod', 'chown', 'lchown'] as const;
const changingHandle = ['write', 'writeFile', 'truncate'] as const;

/**
 * For tests of crashes: puts `around` between the code of this process and its host, at each change of a file and each
 * command that is run. Nothing is replaced: what is done is done by Node.
 */
export async function watchEffects(stateDir: string, around: Around): Promise<void> {
  const nameOf = (what: string, ...paths: unknown[]): string => [what, ...paths.map((path) => anonymous(String(path), stateDir))].join(' ');
  const operations = fsPromises as unknown as Operations;
  for (const name of changing) {
    const original = operations[name] as Operation;
    operations[name] = (...args) => around({ name: nameOf(name, ...args.slice(0, name === 'copyFile' ? 2 : 1)), ...halfOf(name, original, args) }, () => original(...args));
  }
  const openFile = fsPromises.open;
  const opened = new WeakMap<object, string>();
  fsPromises.open = async (path, flags, mode) => {
    const handle = typeof flags === 'string' && /[wa]/.test(flags) ? await around({ name: nameOf('open', path) }, () => openFile(path, flags, mode)) : await openFile(path, flags, mode);
    opened.set(handle, nameOf('', path).trim());
    return handle;
  };
  const handle = await openFile('/dev/null', 'r');
  patchHandles(Object.getPrototypeOf(handle) as Operations, opened, around);
  await handle.close();
  const spawn = childProcess.spawn as (command: string, args: readonly string[], options: object) => EventEmitter;
  childProcess.spawn = ((command: string, args: readonly string[], options: object) => {
    const child = spawn(command, args, options);
    void around({ name: nameOf('run', [command, ...args].join(' ')) }, () => new Promise<void>((resolve) => { child.once('exit', () => { resolve(); }); }));
    return child;
  }) as typeof childProcess.spawn;
  syncBuiltinESMExports();
}

function patchHandles(prototype: Operations, opened: WeakMap<object, string>, around: Around): void {
  for (const name of changingHandle) {
    const original = prototype[name] as Operation;
    prototype[name] = function (this: FileHandle, ...args: unknown[]) {
      const half = name === 'writeFile' ? () => original.call(this, firstHalf(args[0])) : name === 'write' ? () => original.call(this, args[0], args[1], Math.floor(Number(args[2]) / 2), args[3]) : undefined;
      return around({ name: `${name} ${opened.get(this) ?? ''}`, ...(half && { half }) }, () => original.call(this, ...args));
    };
  }
}

function halfOf(name: string, original: Operation, args: readonly unknown[]): Pick<Effect, 'half'> {
  if (name === 'copyFile') return { half: async () => { await original(...args); await fsPromises.truncate(String(args[1]), 5); } };
  // What is written to the kernel is written as a whole.
  return name === 'writeFile' && !String(args[0]).startsWith('/sys/') ? { half: () => original(args[0], firstHalf(args[1]), args[2]) } : {};
}

function firstHalf(data: unknown): Buffer {
  const bytes = Buffer.from(data as string | Uint8Array);
  return bytes.subarray(0, bytes.length >> 1);
}

/** Without what differs from process to process. */
function anonymous(path: string, stateDir: string): string {
  return path.replaceAll(stateDir, '').replaceAll(/\.\.\d{4}_\w*/g, '..#').replaceAll(/[0-9a-f]{12,}|\d{3,}|(?<=\/fd\/)\d+/g, '#');
}
