import { readdir } from 'node:fs/promises';

const stateNames: readonly string[] = ['agent', 'backups', 'cni', 'containerd', 'ctr', 'docker', 'ledger.jsonl', 'pods', 'server', 'tmp', 'upgrade', 'volumes'];

/** Whether Cleat keeps something by this name in a state directory; whatever else is there is somebody else's. */
export function isState(name: string): boolean {
  // `server.before-restore` and the like.
  return stateNames.includes(name) || name.startsWith('server.');
}

/** Whether Cleat ever ran with this state directory, and was not purged since. */
export async function hasState(stateDir: string): Promise<boolean> {
  const names = await readdir(stateDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.some(isState);
}
