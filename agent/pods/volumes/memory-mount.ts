import { execOk } from '#common/exec.ts';

export type Mount = (args: readonly string[]) => Promise<unknown>;

/**
 * Mounts a tmpfs that never goes to swap, which is a disk, where the kernel takes that (Linux 6.3, or backported), and
 * one that may elsewhere, as kubelet does. `noswap`: false for a kernel that is known not to. Resolves with whether it took it.
 * Source: https://kubernetes.io/docs/concepts/cluster-administration/swap-memory-management/
 */
export async function mountInMemory(dir: string, options: readonly string[], noswap = true, mount: Mount = (args) => execOk('mount', args)): Promise<boolean> {
  const attempt = (all: readonly string[]): Promise<unknown> => mount(['-t', 'tmpfs', '-o', all.join(','), 'tmpfs', dir]);
  if (noswap && await attempt([...options, 'noswap']).then(() => true, () => false)) return true;
  // Whatever else was wrong is wrong with this, too.
  await attempt(options);
  return false;
}
