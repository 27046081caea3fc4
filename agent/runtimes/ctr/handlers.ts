import { dirname, join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { configuredHandlers, installedHandlers, runcType, type ContainerdHandler } from '../containerd/handlers.ts';
import { canMountRecursivelyReadOnly } from '../recursive-read-only.ts';
import type { RuntimeHandler } from '../types.ts';
import { nvidiaHandler, nvidiaHook } from './nvidia.ts';

/** Its own, beside its socket, of a containerd that another program has started (Docker, tests); the system's. */
const usualConfig = '/etc/containerd/config.toml';
const runc = 'runc';

/**
 * How RuntimeClasses can have containers run here: as containerd's configuration says for the CRI that is switched off,
 * by runtimes like runc that are installed, and with NVIDIA's hook.
 */
export class CtrHandlers {
  readonly #files: readonly string[];

  constructor(socket: string) {
    this.#files = [join(dirname(socket), 'containerd.toml'), usualConfig];
  }

  async list(): Promise<readonly RuntimeHandler[]> {
    const found = new Map([['', undefined], [runc, undefined], ...await this.#all(), ...(await nvidiaHook() ? [[nvidiaHandler, undefined] as const] : [])]);
    return Promise.all([...found].map(async ([name, handler]) => ({
      name, recursiveReadOnly: (handler?.type ?? runcType) === runcType && await canMountRecursivelyReadOnly(handler?.binary ?? runc),
    })));
  }

  /** What `ctr run` is told; nothing for the usual way. Rejects with `Invalid` what is not there. */
  async args(name: string): Promise<readonly string[]> {
    if (name === '') return [];
    const all = await this.#all();
    const handler = all.get(name);
    if (handler) return argsOf(handler);
    if (name === runc || (name === nvidiaHandler && await nvidiaHook())) return [];
    const others = [runc, ...all.keys()].join(', ');
    throw new StatusError('Invalid', `no runtime for "${name}" is configured; this host has ${others}. Install it, or name it in ${usualConfig} as [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${name}]`);
  }

  /** Looked up each time: what is installed meanwhile counts. NVIDIA's hook needs no runtime of its own. */
  async #all(): Promise<Map<string, ContainerdHandler>> {
    const installed = [...await installedHandlers('')].filter(([name, { type }]) => type === runcType && name !== nvidiaHandler);
    const configured = await Promise.all(this.#files.map(configuredHandlers));
    return new Map([...installed, ...configured.find(({ size }) => size > 0) ?? []]);
  }
}

function argsOf({ type, binary, root, configPath }: ContainerdHandler): string[] {
  return [
    '--runtime', type, ...(binary === undefined ? [] : ['--runc-binary', binary]), ...(root === undefined ? [] : ['--runc-root', root]), ...(configPath === undefined ? [] : ['--runtime-config-path', configPath]),
  ];
}
