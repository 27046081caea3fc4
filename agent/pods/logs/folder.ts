import { mkdir, readdir, readlink, rm, rmdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import type { Container } from '#agent/runtimes/types.ts';
import { logFileOf, podsDir, type PodPaths } from '../paths.ts';

/** Among a pod's files: where its logs are, if they are elsewhere. */
const note = '.logs';
const maxNameBytes = 255;
/** As much of a pod's name as every link to a log of it has, however long the others in it are. */
const leastName = 50;

/** Makes the folder of a pod's logs. One that is not among the pod's files is noted there, so that it goes with them. */
export async function makeLogFolder({ root, logs }: PodPaths): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o750 });
  if (logs === root) return;
  if (await readlink(join(root, note)).catch(() => undefined) !== logs) {
    await removeLogFolder(root);
    await rm(join(root, note), { force: true });
    // First, so that an agent that is killed in between leaves nothing that nobody knows of.
    await symlink(logs, join(root, note));
  }
  await mkdir(dirname(logs), { recursive: true });
  await mkdir(logs, { recursive: true, mode: 0o750 });
}

/** Where collectors of logs look first, as on the host of a kubelet: a link for each container, named after the pod and itself. */
export async function linkLog(paths: PodPaths, pod: Pod, container: Pick<Container, 'name' | 'id' | 'attempt'>): Promise<void> {
  if (paths.logs === paths.root) return;
  await mkdir(linksBeside(paths.logs), { recursive: true });
  await unlinkLog(paths, pod, container);
  await symlink(join(paths.logs, logFileOf(container.name, container.attempt)), linkOf(paths.logs, pod, container));
}

export async function unlinkLog({ root, logs }: PodPaths, pod: Pod, container: Pick<Container, 'name' | 'id'>): Promise<void> {
  if (logs !== root) await rm(linkOf(logs, pod, container), { force: true });
}

/** Removes a pod's logs from where they are noted to be, with all links to them. `root`: the folder of its files. */
export async function removeLogFolder(root: string): Promise<string | undefined> {
  const logs = await readlink(join(root, note)).catch(() => undefined);
  if (logs === undefined || basename(logs) !== basename(root)) return undefined;
  const links = linksBeside(logs);
  const name = basename(root).split('_')[1]?.slice(0, leastName) ?? '';
  for (const link of await readdir(links).catch(() => [])) {
    if (link.startsWith(name) && (await readlink(join(links, link)).catch(() => '')).startsWith(`${logs}/`)) await rm(join(links, link), { force: true });
  }
  await rm(logs, { recursive: true, force: true });
  return logs;
}

/** The same of all pods; folders that are empty then go, too. */
export async function removeAllLogFolders(stateDir: string): Promise<void> {
  const emptied = new Set<string>();
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) {
    const logs = await removeLogFolder(join(podsDir(stateDir), name));
    if (logs !== undefined) emptied.add(dirname(logs)).add(linksBeside(logs));
  }
  for (const folder of emptied) await rmdir(folder).catch(() => undefined);
}

function linkOf(logs: string, { metadata: { namespace = '', name = '' } = {} }: Pod, container: Pick<Container, 'name' | 'id'>): string {
  const rest = `_${namespace}_${container.name}-${container.id}.log`;
  return join(linksBeside(logs), `${name.slice(0, maxNameBytes - rest.length)}${rest}`);
}

/** `/var/log/containers` for `/var/log/pods`. */
function linksBeside(logs: string): string {
  return join(dirname(dirname(logs)), 'containers');
}
