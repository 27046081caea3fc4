import { readFile } from 'node:fs/promises';
import { findProgram } from './host.ts';

/** How containers of a RuntimeClass are run: containerd's shim, and what that shim is told. */
export interface ContainerdHandler {
  readonly type: string;
  /** Takes runc's place. */
  readonly binary?: string;
  readonly root?: string;
  readonly configPath?: string;
}

export const runcType = 'io.containerd.runc.v2';

/** What needs no word of configuration: found by its program, known by the name that its makers give it. */
const known: readonly { readonly name: string; readonly program: string; readonly type: string }[] = [
  { name: 'crun', program: 'crun', type: runcType }, { name: 'youki', program: 'youki', type: runcType }, { name: 'nvidia', program: 'nvidia-container-runtime', type: runcType },
  { name: 'runsc', program: 'containerd-shim-runsc-v1', type: 'io.containerd.runsc.v1' }, { name: 'kata', program: 'containerd-shim-kata-v2', type: 'io.containerd.kata.v2' },
];

/** The runtimes beside runc that this host has. */
export async function installedHandlers(searchPath: string): Promise<Map<string, ContainerdHandler>> {
  const found = await Promise.all(known.map(async ({ name, program, type }) => [name, type, await findProgram(program, searchPath).catch(() => undefined)] as const));
  return new Map(found.flatMap(([name, type, path]) => (path === undefined ? [] : [[name, type === runcType ? { type, binary: path } : { type }] as const])));
}

/** Those that containerd's configuration names for its CRI, whether that is switched on or not; none where there is no such file. */
export async function configuredHandlers(path: string): Promise<Map<string, ContainerdHandler>> {
  return handlersIn(await readFile(path, 'utf8').catch(() => ''));
}

/** A table of a runtime, or of its options: `[plugins."…cri…".containerd.runtimes.NAME.options]`. The plugin has two names. */
const table = /^\[plugins\.["'](?:io\.containerd\.grpc\.v1\.cri|io\.containerd\.cri\.v1\.runtime)["']\.containerd\.runtimes\.(?:"([^"]+)"|'([^']+)'|([\w-]+))(\.options)?\]/;
const setting = /^(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')/;

/** Of TOML only what these tables are made of. */
export function handlersIn(text: string): Map<string, ContainerdHandler> {
  const tables = new Map<string, Record<string, string>>();
  let current: Record<string, string> | undefined;
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    if (line.startsWith('[')) {
      const [, double, single, bare] = table.exec(line) ?? [];
      const name = double ?? single ?? bare;
      current = name === undefined ? undefined : tables.get(name) ?? {};
      if (name !== undefined && current) tables.set(name, current);
    } else if (current) {
      const [, key, double, single] = setting.exec(line) ?? [];
      if (key !== undefined) current[key] = double === undefined ? single ?? '' : double.replaceAll(/\\(["\\])/g, '$1');
    }
  }
  return new Map([...tables].flatMap(([name, { runtime_type: type = '', BinaryName: binary = '', Root: root = '', ConfigPath: configPath = '' }]) => (type === '' ? [] : [[name, {
    // The first form of runc's shim had the same options.
    type: type === 'io.containerd.runc.v1' ? runcType : type, ...(binary !== '' && { binary }), ...(root !== '' && { root }), ...(configPath !== '' && { configPath }),
  }] as const])));
}
