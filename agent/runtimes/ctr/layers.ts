import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Limit } from '#common/limit.ts';
import { messageOf } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { shortened } from '../containerd/mount-as-told.ts';
import type { SnapshotViews } from '../containerd/snapshot-views.ts';

export interface LayersDeps {
  readonly log: Log;
  /** Tells views of several agents apart that share one containerd. */
  readonly owner: string;
  /** Those of the snapshotter that makes overlays; undefined where there is another. */
  readonly views: (signal: AbortSignal) => Promise<Pick<SnapshotViews, 'folders' | 'keys' | 'release'> | undefined>;
}

/**
 * Root file systems of containers, each an overlay of a folder of its own over the layers of its image. containerd makes the same by
 * a command for each container, and takes it back by another; for this it is asked once for each image, by a view of it. A view goes when
 * images change, or are looked at, and no container has it.
 */
export class Layers {
  readonly #deps: LayersDeps;
  /** Of the names of views. */
  readonly #prefix: string;
  /** By what their layers are called (chain id): the ids of containers. */
  readonly #users = new Map<string, Set<string>>();
  /** Folders of layers whose view is there. */
  readonly #folders = new Map<string, readonly string[]>();
  /** Whose view may be there. */
  readonly #held = new Set<string>();
  readonly #turn = new Limit(1);
  /** A file system may be none that overlays can write to, such as another overlay. */
  #isPossible = true;

  constructor(deps: LayersDeps) {
    this.#deps = deps;
    this.#prefix = `layers-${deps.owner}-`;
  }

  /** The container has them already, since an earlier agent. */
  use(chainId: string, id: string): void {
    let users = this.#users.get(chainId);
    if (!users) this.#users.set(chainId, users = new Set());
    users.add(id);
  }

  /** The container has nothing of them any more. */
  leave(chainId: string, id: string): void {
    this.#users.get(chainId)?.delete(id);
  }

  /** Mounts a container's root at `rootfs`, which is there; what it writes goes to folders beside. False where that cannot be: then containerd has to make it. */
  async mount(chainId: string, id: string, rootfs: string, signal: AbortSignal): Promise<boolean> {
    this.use(chainId, id);
    let isDone = false;
    try {
      // What is known of an image may be of one that has come anew since.
      if (this.#folders.has(chainId)) isDone = await this.#tryToMount(chainId, rootfs, signal);
      if (!isDone && this.#isPossible) this.#isPossible = isDone = await this.#tryToMount(chainId, rootfs, signal);
    } finally {
      if (!isDone) this.leave(chainId, id);
    }
    return isDone;
  }

  /** Learns of views that earlier agents have left. */
  async adopt(signal: AbortSignal): Promise<void> {
    const views = await this.#deps.views(signal);
    for (const key of await views?.keys(signal) ?? []) if (key.startsWith(this.#prefix)) this.#held.add(key.slice(this.#prefix.length));
  }

  /** Lets go of layers that no container has. What cannot be let go of now is tried again the next time. */
  async release(signal: AbortSignal): Promise<void> {
    if ([...this.#held].every((chainId) => this.#isUsed(chainId))) return;
    await this.#turn.run(async () => {
      const views = await this.#deps.views(signal);
      for (const chainId of this.#held) {
        if (!views || this.#isUsed(chainId)) continue;
        // Before it goes: whoever wants it from now on waits for a turn, and has it made anew.
        this.#folders.delete(chainId);
        this.#users.delete(chainId);
        await views.release(`${this.#prefix}${chainId}`, signal);
        this.#held.delete(chainId);
      }
    }, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      this.#deps.log.warn({ err: messageOf(error) }, 'layers of images that no container has cannot be let go of yet');
    });
  }

  async #tryToMount(chainId: string, rootfs: string, signal: AbortSignal): Promise<boolean> {
    const folders = this.#folders.get(chainId) ?? await this.#turn.run(() => this.#view(chainId, signal), signal);
    const [top] = folders ?? [];
    if (!folders || top === undefined) return false;
    try {
      const [upper, work] = [join(rootfs, '..', 'upper'), join(rootfs, '..', 'work')];
      await Promise.all([upper, work].map((dir) => mkdir(dir, { recursive: true })));
      // It is what a program sees as its root: open to all, whatever this process makes folders like, and whose the image says.
      const { uid, gid } = await stat(top);
      await chmod(upper, 0o755);
      await chown(upper, uid, gid);
      const index = existsSync('/sys/module/overlay/parameters/index') ? ['index=off'] : [];
      const { dir, text } = shortened([...index, `workdir=${work}`, `upperdir=${upper}`, `lowerdir=${folders.join(':')}`].join(','));
      await execOk('mount', ['-t', 'overlay', 'overlay', '-o', text, rootfs], { signal, ...(dir !== undefined && { cwd: dir }) });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      this.#folders.delete(chainId);
      this.#deps.log.info({ rootfs, err: messageOf(error) }, 'the layers of an image cannot be laid over by the agent; containerd is asked to');
      return false;
    }
  }

  #isUsed(chainId: string): boolean {
    return (this.#users.get(chainId)?.size ?? 0) > 0;
  }

  async #view(chainId: string, signal: AbortSignal): Promise<readonly string[] | undefined> {
    const known = this.#folders.get(chainId);
    if (known) return known;
    const views = await this.#deps.views(signal);
    if (!views) return undefined;
    this.#held.add(chainId);
    const folders = await views.folders(chainId, `${this.#prefix}${chainId}`, signal);
    if (folders) this.#folders.set(chainId, folders);
    return folders;
  }
}
