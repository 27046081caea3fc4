import { mkdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { ObjectSeal } from '#agent/state/seal.ts';
import { mountInMemory, type Mount } from './memory-mount.ts';
import { isMountPoint } from './mounts.ts';

/** Keeps what is secret in volumes from whoever has the disk alone. */
export interface SecretVolumes {
  /** Makes `dir` a file system in memory, as Kubernetes promises of Secrets; `begins`: no container uses what may be there. */
  prepare(dir: string, begins: boolean): Promise<void>;
  /** Tokens that were kept in the file, by their path in the volume; none when there are none that can be read. */
  kept(file: string): Promise<ReadonlyMap<string, string>>;
  /** Keeps tokens beyond a reboot, for a start without a control plane. Failing at that stops nothing. */
  keep(file: string, tokens: ReadonlyMap<string, string>): Promise<void>;
}

/** In tmpfs that is not swapped, and tokens sealed on disk: Secrets are in the checkpoint, tokens in nothing else. */
export class MemoryVolumes implements SecretVolumes {
  readonly #seal: ObjectSeal;
  readonly #log: Log;
  readonly #mount: Mount | undefined;
  /** Until the kernel has refused it. */
  #noswap = true;

  /** `mount` as in tests; the host's own when absent. */
  constructor({ seal, log, mount }: { readonly seal: ObjectSeal; readonly log: Log; readonly mount?: Mount }) {
    this.#seal = seal;
    this.#log = log;
    this.#mount = mount;
  }

  async prepare(dir: string, begins: boolean): Promise<void> {
    if (await isMountPoint(dir)) return;
    // An earlier version's, on disk: containers that run see this folder, and would not see what is mounted over it.
    if (!begins && await readlink(join(dir, '..data')).catch(() => undefined)) return;
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true, mode: 0o755 });
    this.#noswap = await mountInMemory(dir, ['mode=755', 'nosuid', 'nodev'], this.#noswap, this.#mount);
  }

  async kept(file: string): Promise<ReadonlyMap<string, string>> {
    const sealed = await readFile(file, 'latin1').catch(() => undefined);
    const tokens: unknown = sealed === undefined ? undefined : this.#seal.unseal(sealed, file);
    return new Map(isRecord(tokens) ? Object.entries(tokens).filter((entry): entry is [string, string] => typeof entry[1] === 'string') : []);
  }

  async keep(file: string, tokens: ReadonlyMap<string, string>): Promise<void> {
    try {
      await writeFileAtomic(file, this.#seal.seal(Object.fromEntries(tokens), file), 0o600);
    } catch (error) {
      this.#log.warn({ file, err: messageOf(error) }, 'tokens of a pod cannot be kept: it cannot start after a reboot without a control plane');
    }
  }
}
