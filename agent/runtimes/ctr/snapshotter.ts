import { access } from 'node:fs/promises';
import type { Ctr } from '../containerd/ctr.ts';

const type = 'io.containerd.snapshotter.v1';
/** Where all but few containerds keep things. */
const usualRoot = '/var/lib/containerd';

/** What a containerd unpacks images with, and where to. Each is asked once. */
export class Snapshotter {
  readonly #ctr: Ctr;
  readonly #given: string | undefined;
  #name: Promise<string> | undefined;
  #folder: Promise<string> | undefined;

  /** `given`: its name, where that is settled. */
  constructor(ctr: Ctr, given: string | undefined) {
    this.#ctr = ctr;
    this.#given = given;
  }

  name(signal: AbortSignal): Promise<string> {
    return this.#name ??= this.#askName(signal).catch((error: unknown) => {
      this.#name = undefined;
      throw error;
    });
  }

  folder(signal: AbortSignal): Promise<string> {
    return this.#folder ??= this.#askFolder(signal).catch((error: unknown) => {
      this.#folder = undefined;
      throw error;
    });
  }

  /** What this containerd can: copies, where the file system allows no layers. */
  async #askName(signal: AbortSignal): Promise<string> {
    if (this.#given !== undefined) return this.#given;
    const plugins = await this.#ctr.run(['plugins', 'ls', `type==${type}`], signal);
    return /^\S+\s+overlayfs\s+\S+\s+ok\b/m.test(plugins) ? 'overlayfs' : 'native';
  }

  async #askFolder(signal: AbortSignal): Promise<string> {
    const plugin = await this.#ctr.run(['plugins', 'ls', '--detailed', `type==${type},id==${await this.name(signal)}`], signal);
    const told = /^\s+root\s+(\/.*\S)\s*$/m.exec(plugin)?.[1];
    return told ?? await access(usualRoot).then(() => usualRoot, () => '/');
  }
}
