import { readdir } from 'node:fs/promises';

/** What Cleat keeps in a state directory; whatever else is there is somebody else's. */
export const stateNames: readonly string[] = ['agent', 'cni', 'containerd', 'ctr', 'docker', 'ledger.jsonl', 'pods', 'server', 'tmp', 'volumes'];

/** Whether Cleat ever ran with this state directory, and was not purged since. */
export async function hasState(stateDir: string): Promise<boolean> {
  const names = await readdir(stateDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.some((name) => stateNames.includes(name));
}
